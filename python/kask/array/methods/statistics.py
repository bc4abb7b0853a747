"""Histograms, covariance, quantiles."""

from __future__ import annotations

from kask.array.base import ArrayBase


class StatisticsMethods(ArrayBase):
    """Histograms, covariance, quantiles."""

    __slots__ = ()
