"""All flights from New York in 2013: the worst routes, and the delay for each month and carrier.

The work is written with ``kask.delayed`` around plain pandas functions, a branch for each month. The same functions,
applied to the whole year at once without Kask, give the answer to check against.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import kask

WINDY_KNOTS = 20.0


@dataclass
class Answer:
    """The two tables."""

    routes: pd.DataFrame
    carriers: pd.DataFrame


def read_flights(path: Path) -> pd.DataFrame:
    columns = ["month", "dep_delay", "arr_delay", "carrier", "tailnum", "origin", "dest", "time_hour"]
    return pd.read_csv(path, usecols=columns)


def read_planes(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, usecols=["tailnum", "seats"])


def read_weather(path: Path) -> pd.DataFrame:
    weather = pd.read_csv(path, usecols=["origin", "time_hour", "wind_speed", "precip"])
    return weather.drop_duplicates(["origin", "time_hour"])


def join(flights: pd.DataFrame, planes: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Each flight with the seats of its plane and the weather at its departure. Cancelled flights are left out."""
    flown = flights.dropna(subset=["arr_delay"])
    joined = flown.merge(planes, on="tailnum", how="left").merge(weather, on=["origin", "time_hour"], how="left")
    joined["bad_weather"] = (joined["wind_speed"] > WINDY_KNOTS) | (joined["precip"] > 0)
    return joined


def sum_routes(joined: pd.DataFrame) -> pd.DataFrame:
    """Sums only, so that sums of months are the sums of the year."""
    grouped = joined.assign(seats=joined["seats"].fillna(0)).groupby(["origin", "dest"])
    return grouped.agg(flights=("arr_delay", "size"), delay=("arr_delay", "sum"), bad_weather=("bad_weather", "sum"))


def sum_carriers(joined: pd.DataFrame) -> pd.DataFrame:
    grouped = joined.assign(seats=joined["seats"].fillna(0)).groupby(["month", "carrier"])
    return grouped.agg(flights=("arr_delay", "size"), delay=("arr_delay", "sum"), seats=("seats", "sum"))


def add(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The sum of tables of sums, rows matched by their index."""
    together = pd.concat(parts)
    return together.groupby(level=list(range(together.index.nlevels))).sum()


def worst_routes(sums: pd.DataFrame) -> pd.DataFrame:
    """Routes with at least 100 flights, the longest mean delay first."""
    often = sums[sums["flights"] >= 100]
    table = often.assign(mean_delay=often["delay"] / often["flights"])
    return table.sort_values(["mean_delay", "flights"], ascending=[False, True]).drop(columns="delay")


def mean_delays(sums: pd.DataFrame) -> pd.DataFrame:
    """Mean delay in minutes: a row for each month, a column for each carrier."""
    return (sums["delay"] / sums["flights"]).unstack("carrier")


def describe(months: list[Path], source: Path):
    """The two tables, described but not computed."""
    lazy = kask.delayed(pure=True)
    planes = lazy(read_planes)(source / "planes.csv")
    weather = lazy(read_weather)(source / "weather.csv")
    joined = [lazy(join)(lazy(read_flights)(path), planes, weather) for path in months]
    routes = lazy(worst_routes)(lazy(add)([lazy(sum_routes)(month) for month in joined]))
    carriers = lazy(mean_delays)(lazy(add)([lazy(sum_carriers)(month) for month in joined]))
    return routes, carriers


def serial(months: list[Path], source: Path) -> Answer:
    """The same answer with pandas alone, the months in one table."""
    flights = pd.concat([read_flights(path) for path in months], ignore_index=True)
    joined = join(flights, read_planes(source / "planes.csv"), read_weather(source / "weather.csv"))
    return Answer(worst_routes(sum_routes(joined)), mean_delays(sum_carriers(joined)))


def check(answer: Answer, expected: Answer) -> None:
    """Raises AssertionError with the first difference."""
    pd.testing.assert_frame_equal(answer.routes, expected.routes)
    pd.testing.assert_frame_equal(answer.carriers, expected.carriers)


def show(answer: Answer) -> None:
    print("\nThe worst routes (mean delay on arrival, in minutes):")
    print(answer.routes.head(8).to_string(float_format="%.1f"))
    print("\nMean delay on arrival for each month and carrier, in minutes:")
    print(answer.carriers.to_string(float_format="%.1f", na_rep="-"))
