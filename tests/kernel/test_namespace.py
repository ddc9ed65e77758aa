"""Private mounts, as root and in a user namespace, each in a child process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcgroup.errors import HostError
from agentcgroup.kernel import namespace

ENTER = (
    "import os, sys; from agentcgroup.kernel import namespace as n;"
    "n.enter_private_mounts(userns=sys.argv[1] == 'userns');"
    "n.mount(sys.argv[2], sys.argv[3], None, n.MS_BIND); print(open(sys.argv[3]).read(), os.geteuid(), os.getegid())"
)


@pytest.mark.parametrize("how", ["root", "userns"])
def test_a_bind_mount_that_only_we_see(tmp_path: Path, how: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("ours")
    theirs.write_text("theirs")
    command = [sys.executable, "-c", ENTER, how, str(ours), str(theirs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["ours", str(os.geteuid()), str(os.getegid())], done.stderr
    assert theirs.read_text() == "theirs"


def test_what_can_be_had_is_found_by_trying() -> None:
    before = Path("/proc/self/mountinfo").read_text()
    assert namespace.can_private_mounts() == ("root" if os.geteuid() == 0 else "userns")
    assert Path("/proc/self/mountinfo").read_text() == before
    with Path("/dev/zero").open("rb") as zero:
        assert zero.read(1) == b"\0"


def test_refusals_say_what_was_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=f"mount of {tmp_path}/none on {tmp_path} failed: No such file"):
        namespace.mount(tmp_path / "none", tmp_path, None, namespace.MS_BIND)
    with pytest.raises(HostError, match=r"unshare\(0x1\) failed") as caught:
        namespace.unshare(1)
    assert "user.max_user_namespaces" in caught.value.fix
