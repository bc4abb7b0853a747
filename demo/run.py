"""The demonstration: ``make demo``, or ``python demo/run.py [--quick] [--seed N]``.

Two jobs on real input, each checked against a plain serial run. During the second a worker process is killed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import flights
import inputs
import report
import words
from kask.distributed import Client, LocalCluster, progress
from killer import Killer

MONTHS_FOLDER = Path(__file__).resolve().parent.parent / "demo-data"


def main() -> int:
    options = parse_arguments()
    # Progress bars go to the standard error; what is printed here must keep its place between them.
    sys.stdout.reconfigure(line_buffering=True)
    try:
        source, roots = inputs.flights_folder(), inputs.text_roots()
        months = inputs.monthly_flights(source, MONTHS_FOLDER)
    except inputs.MissingInput as missing:
        print(missing, file=sys.stderr)
        return 1
    runs = [run_flights(months[:3] if options.quick else months, source)]
    runs.append(run_words(roots, options.quick, options.seed))
    report.print_table(runs)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the flights and a part of the texts")
    parser.add_argument("--seed", type=int, default=1, help="decides the shape of the merges and which worker dies")
    return parser.parse_args()


def run_flights(months: list[Path], source: Path) -> report.Run:
    print(f"1. Flights from New York, {len(months)} monthly files: kask.delayed and pandas, embedded in this process")
    with Client("embedded") as client:
        before, start = client.counters(), time.perf_counter()
        computed = client.compute(list(flights.describe(months, source)))
        progress(computed)
        answer = flights.Answer(*client.gather(computed))
        seconds, after = time.perf_counter() - start, client.counters()
    start = time.perf_counter()
    flights.check(answer, flights.serial(months, source))
    flights.show(answer)
    print(f"\nEqual to pandas alone, which took {time.perf_counter() - start:.2f} s.\n")
    return report.Run.between("flights (embedded)", seconds, before, after)


def run_words(roots: list[Path], quick: bool, seed: int) -> report.Run:
    print("2. Words that stand out in licences and library sources: futures that submit futures, 2 worker processes")
    chance = random.Random(seed)
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        before, start = client.counters(), time.perf_counter()
        explored = [client.submit(words.explore, str(root), quick) for root in roots]
        progress(explored)
        documents = [document for found in client.gather(explored) for document in found]
        scoring = words.start_scoring(client, documents, chance)
        killer = Killer(client, cluster, chance, family=lambda key: key.rsplit("-", 1)[0])
        killer.arm(scoring.scores, share=0.4)
        progress(scoring.scores)
        answer = words.collect(client, scoring)
        seconds, after = time.perf_counter() - start, client.counters()
        killer.join()
    tell_what_was_lost(killer, before, after)
    start = time.perf_counter()
    words.check(answer, words.serial(roots, quick))
    words.show(answer, roots)
    print(f"\n{len(documents):,} documents. Equal to the serial run, which took {time.perf_counter() - start:.2f} s.")
    return report.Run.between("words (2 processes)", seconds, before, after)


def tell_what_was_lost(killer: Killer, before: dict[str, int], after: dict[str, int]) -> None:
    held = ", ".join(f"{count} of {family}" for family, count in sorted(killer.lost.items())) or "nothing"
    print(f"\nThe worker process {killer.pid} was killed with SIGKILL. It held these results: {held}.")
    print(
        f"Workers lost: {after['workers_lost'] - before['workers_lost']}. "
        f"Tasks computed again: {after['recomputed'] - before['recomputed']}."
    )


if __name__ == "__main__":
    sys.exit(main())
