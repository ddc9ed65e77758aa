"""Shell text, taken apart into simple commands. Reading only: nothing is expanded, evaluated or run.

The subset of the POSIX shell (and of what bash adds) that command lines of agents consist of: quotes, escapes,
comments, operators, redirections, here-documents, assignments, substitutions. Reserved words are passed over, so that
the commands within loops and conditions come out like any others. Its weakness: `case` inside `$( )`, and arrays,
are read as something else. That is harmless here, since what is found is only looked up in tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_TEXT = 32_768
"""Characters of a script that are read; the longest of 4,651 commands of published agent runs has 6,046."""
MAX_COMMANDS = 400
"""Simple commands that are read of one script."""
_MAX_NESTING = 24  # of substitutions and quotes within each other

_PLAIN = re.compile(r"[^\s\\'\"`$;&|<>()]+")
_IN_DOUBLE = re.compile(r'[^"\\$`]+')
_BLANK = re.compile(r"(?:[^\S\n]|\\\n)+")
_OPERATOR = re.compile(r"&&|\|\||;;&|;;|;&|\|&|[;&|()]")
_HERE = re.compile(r"""(?<!<)<<(?!<)-?[^\S\n]*(?:'([^'\n]+)'|"([^"\n]+)"|\\?([A-Za-z_][\w.-]*))""")
_REDIRECTION = re.compile(r"<<<|<<-|<<|<>|>>|>\||>&|<&|&>>|&>|<|>")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_EXPANSION = re.compile(r"[A-Za-z0-9_{@*#?!$-]")
_RESERVED = frozenset(("if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "coproc"))
_HEADS = frozenset(("for", "select", "case", "function"))  # of compound commands whose first line names no program
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


class Malformed(Exception):
    """The text is no sound shell syntax; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word without its quotes. ``expands``: a shell would put something else in place of a part of it."""

    text: str
    expands: bool = False
    assigns: bool = False  # begins with NAME= that is not quoted


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command as written, its assignments apart."""

    words: tuple[Word, ...]
    assignments: tuple[Word, ...] = ()
    stdin: str = ""  # text of its here-document or here-string

    @property
    def argv(self) -> tuple[str, ...]:
        """The texts of its words."""
        return tuple(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Script:
    """What a text consists of, in order. ``sound`` False: reading stopped at something malformed."""

    commands: tuple[Simple, ...]
    inner: tuple[str, ...] = ()  # texts of the substitutions, `$( )` and backticks
    comments: tuple[str, ...] = ()  # those on lines of their own, without the `#`
    sound: bool = True


def read(text: str) -> Script:
    """Take ``text`` apart; what lies behind MAX_TEXT is not read. Never raises."""
    reader = _Reader(text[:MAX_TEXT].replace("\0", ""))
    sound = True
    try:
        reader.script()
    except Malformed:
        sound = len(text) > MAX_TEXT  # the cut itself can leave a quote open
    reader.end_command()
    return Script(tuple(reader.commands), tuple(reader.inner), tuple(reader.comments), sound)


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    commands: list[Simple] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    _words: list[Word] = field(default_factory=list)
    _stdin: list[str] = field(default_factory=list)
    _bodies: list[tuple[str, bool]] = field(default_factory=list)  # here-documents to come: delimiter, `<<-`

    def script(self) -> None:
        """Read to the end of the text, or until there are enough commands."""
        line_start = True
        while self.at < len(self.text) and len(self.commands) < MAX_COMMANDS:
            if match := _BLANK.match(self.text, self.at):
                self.at = match.end()
            elif self.text[self.at] == "\n":
                self.at += 1
                self._read_bodies()
                self.end_command()
                line_start = True
            elif self.text[self.at] == "#":
                self._comment(line_start and not self._words)
            else:
                self._item()
                line_start = False

    def end_command(self) -> None:
        """Close the simple command that is being read, if there is one."""
        words, self._words = self._words, []
        stdin, self._stdin = "\n".join(self._stdin), []
        first = next((index for index, word in enumerate(words) if word.text not in _RESERVED), len(words))
        words = words[first:]
        if not words or words[0].text in _HEADS:
            return
        first = next((index for index, word in enumerate(words) if not word.assigns), len(words))
        self.commands.append(Simple(tuple(words[first:]), tuple(words[:first]), stdin))

    def _comment(self, alone: bool) -> None:
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        if alone:
            self.comments.append(self.text[self.at + 1 : end])
        self.at = end

    def _item(self) -> None:
        """One redirection, operator or word."""
        if self.text.startswith(("<(", ">("), self.at):  # process substitution: a word
            self._words.append(self._word())
        elif match := _REDIRECTION.match(self.text, self.at):
            self.at = match.end()
            self._redirect(match[0])
        elif match := _OPERATOR.match(self.text, self.at):
            self.at = match.end()
            if not self._bodies:  # `cat <<EOF | sh`: the body comes later, and is of the first command
                self.end_command()
            else:
                self._defer()
        else:
            word = self._word()
            if not (word.text.isdigit() and self.text[self.at : self.at + 1] in ("<", ">")):  # the 2 of `2>`
                self._words.append(word)

    def _defer(self) -> None:
        """An operator stands between a here-document and its body: read the body now, and go on behind the operator."""
        line_end = self.text.find("\n", self.at)
        if line_end < 0:
            self.end_command()
            return
        here, self.at = self.at, line_end + 1
        self._read_bodies()
        self.end_command()
        # The rest of the line comes first, then what follows the body.
        self.text = self.text[here : line_end + 1] + self.text[self.at :]
        self.at = 0

    def _redirect(self, operator: str) -> None:
        if match := _BLANK.match(self.text, self.at):
            self.at = match.end()
        if self.at >= len(self.text) or self.text[self.at] in "\n;&|()<>":
            return  # a syntax error to the shell; nothing to look up for us
        target = self._word()
        if operator in ("<<", "<<-"):
            self._bodies.append((target.text, operator == "<<-"))
        elif operator == "<<<":
            self._stdin.append(target.text)

    def _read_bodies(self) -> None:
        bodies, self._bodies = self._bodies, []
        for delimiter, strip_tabs in bodies:
            pattern = (r"^\t*" if strip_tabs else "^") + re.escape(delimiter) + "$"
            end = re.compile(pattern, re.MULTILINE).search(self.text, self.at)
            if end is None:  # shells take all that follows, with a warning
                body, self.at = self.text[self.at :], len(self.text)
            else:
                body, self.at = self.text[self.at : end.start()], end.end()
            self._stdin.append(body)

    def _word(self) -> Word:
        start, parts, expands = self.at, [], False
        while self.at < len(self.text):
            if match := _PLAIN.match(self.text, self.at):
                self.at = match.end()
                parts.append(match[0])
                continue
            char = self.text[self.at]
            if char in "<>" and self.at == start:
                self.at += 1
                parts.append(self._substitution(0))
                expands = True
            elif char in "\"'\\$`":
                text, changes = self._quoted(char)
                parts.append(text)
                expands |= changes
            else:
                break
        assigns = _ASSIGNMENT.match(self.text, start, self.at) is not None
        return Word("".join(parts), expands, assigns)

    def _quoted(self, char: str) -> tuple[str, bool]:
        """What a quote, an escape or a ``$`` stands for, and whether a shell would expand it."""
        if char == "'":
            return self._single(), False
        if char == '"':
            return self._double()
        if char == "$":
            return self._dollar(0)
        if char == "`":
            return self._backticks(), True
        self.at += 2
        escaped = self.text[self.at - 1 : self.at]
        return ("" if escaped == "\n" else escaped), False

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise Malformed
        text, self.at = self.text[self.at + 1 : end], end + 1
        return text

    def _double(self, depth: int = 0) -> tuple[str, bool]:
        self.at += 1
        parts: list[str] = []
        expands = False
        while self.at < len(self.text):
            if match := _IN_DOUBLE.match(self.text, self.at):
                self.at = match.end()
                parts.append(match[0])
                continue
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return "".join(parts), expands
            if char == "\\":
                escaped = self.text[self.at + 1 : self.at + 2]
                parts.append({"\n": ""}.get(escaped, escaped if escaped in '$`"\\' else "\\" + escaped))
                self.at += 2
                continue
            text, changes = self._dollar(depth) if char == "$" else (self._backticks(), True)
            parts.append(text)
            expands |= changes
        raise Malformed

    def _dollar(self, depth: int) -> tuple[str, bool]:
        following = self.text[self.at + 1 : self.at + 2]
        if following == "'" and not depth:
            return self._ansi(), False
        if following == "(":
            self.at += 1
            return "$" + self._substitution(depth), True
        if following == "{":
            start = self.at
            self._until("}", depth)
            return self.text[start : self.at], True
        self.at += 1
        return "$", bool(_EXPANSION.match(following))

    def _ansi(self) -> str:
        """``$'…'``; escapes by number stay as they are written."""
        end = re.compile(r"(?:[^'\\]|\\.)*'", re.DOTALL).match(self.text, self.at + 2)
        if end is None:
            raise Malformed
        body, self.at = self.text[self.at + 2 : end.end() - 1], end.end()
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), body, flags=re.DOTALL)

    def _backticks(self) -> str:
        end = re.compile(r"(?:[^`\\]|\\.)*`", re.DOTALL).match(self.text, self.at + 1)
        if end is None:
            raise Malformed
        body, self.at = self.text[self.at + 1 : end.end() - 1], end.end()
        self.inner.append(body)
        return "`" + body + "`"

    def _substitution(self, depth: int) -> str:
        """``( … )`` from its opening parenthesis; its text is kept to be read as a script of its own."""
        start = self.at
        self._until(")", depth)
        if not depth:  # deeper ones are found again when this one is read
            self.inner.append(self.text[start + 1 : self.at - 1])
        return self.text[start : self.at]

    def _until(self, closing: str, depth: int) -> None:
        """Go behind the ``closing`` that belongs to what opens at, or one behind, the present place."""
        if depth >= _MAX_NESTING:
            raise Malformed
        opening = {")": "(", "}": "{"}[closing]
        documents = closing == ")" and not self.text.startswith("((", self.at)  # `$((1<<3))` has none
        delimiters: list[str] = []
        level = 0
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == opening:
                level += 1
            elif char == closing:
                level -= 1
            elif char == "'" and closing == ")":
                self._single()
                continue
            elif char == '"':
                self._double(depth + 1)
                continue
            elif char == "\n" and delimiters:
                self._skip_bodies(delimiters)
            elif char == "<" and documents and (match := _HERE.match(self.text, self.at)):
                delimiters.append(match[1] or match[2] or match[3])
                self.at = match.end()
                continue
            elif char == "\\":
                self.at += 1
            self.at += 1
            if not level and char == closing:
                return
        raise Malformed

    def _skip_bodies(self, delimiters: list[str]) -> None:
        """Within a substitution: go to the end of the last here-document, whose quotes and parentheses mean nothing."""
        while delimiters:
            pattern = rf"^\t*{re.escape(delimiters.pop(0))}(?=\)|$)"
            end = re.compile(pattern, re.MULTILINE).search(self.text, self.at + 1)
            self.at = len(self.text) if end is None else end.end() - 1
