"""All benchmarks, one after the other: `make bench`. In the lab: agentcgroup lab run -- .venv/bin/python -m bench"""

from __future__ import annotations

from bench import call_cost, many_calls, reaction, start_cost

if __name__ == "__main__":
    for benchmark in (call_cost, start_cost, many_calls, reaction):
        print(f"\n== {benchmark.__name__}\n{(benchmark.__doc__ or '').splitlines()[0]}", flush=True)
        benchmark.main()
