"""The benchmarks: ``make bench``, or ``python bench/run.py [--only NAME ...] [--rounds N] [--quick]``.

Contenders run side by side and take turns; the table shows the best and the median value of each, and the goals. The
machine and all values go to ``bench/results/``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
from pathlib import Path

import machine
import measure
from cases import ALL

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    options = parse_arguments()
    measure.quick = options.quick
    record = {"machine": machine.describe(), "started": datetime.datetime.now(datetime.UTC).isoformat(), "cases": []}
    print_machine(record["machine"])
    for name in options.only or ALL:
        for case in ALL[name]():
            results = measure.run(case, options.rounds)
            verdicts = [] if options.quick else measure.judge(case, results)
            print_case(case, results, verdicts)
            record["cases"].append(entry(case, results, verdicts))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{record['started'][:19].replace(':', '')}.json"
    path.write_text(json.dumps(record, indent=1))
    print(f"\nAll values are in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ALL), metavar="NAME", help=f"of {', '.join(ALL)}")
    parser.add_argument("--rounds", type=int, help="turns of each contender, instead of what the case says")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes where a case has them: shows that it works, judges nothing"
    )
    return parser.parse_args()


def print_machine(described: dict) -> None:
    memory = described["memory_bytes"] / 2**30
    versions = ", ".join(f"{name} {version}" for name, version in described["packages"].items())
    print(f"{described['cpu']}, {described['cores']} cores, {memory:.0f} GiB, {described['system']}")
    print(
        f"Python {described['python']}, {described['rustc']}, {versions}, commit {described['commit'][:12] or 'unknown'}"
    )


def print_case(case: measure.Case, results: dict[str, measure.Measured], verdicts: list[measure.Verdict]) -> None:
    better = "more is better" if case.higher_is_better else "less is better"
    print(f"\n{case.title} ({case.unit}, {better})")
    print(f"  {'':<34}{'best':>14}{'median':>14}", flush=True)
    for name, measured in results.items():
        if measured.absent:
            print(f"  {name:<34}{measured.absent:>28}")
        else:
            best, median = number(measured.best(case.higher_is_better)), number(measured.median())
            print(f"  {name:<34}{best:>14}{median:>14}")
    for verdict in verdicts:
        goal = verdict.goal
        what = f"{goal.value:g} x {goal.relative_to}" if goal.relative_to else f"{number(goal.value)} {case.unit}"
        state = "reached" if verdict.ok else "NOT REACHED"
        print(f"  goal for {goal.contender}: {what}: {state}, {verdict.ratio:.2f} of it")
    sys.stdout.flush()


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def entry(case: measure.Case, results: dict[str, measure.Measured], verdicts: list[measure.Verdict]) -> dict:
    return {
        "name": case.name,
        "title": case.title,
        "unit": case.unit,
        "higher_is_better": case.higher_is_better,
        "results": {name: dataclasses.asdict(measured) for name, measured in results.items()},
        "goals": [dataclasses.asdict(verdict) | {"reached_goal": verdict.ok} for verdict in verdicts],
    }


if __name__ == "__main__":
    sys.exit(main())
