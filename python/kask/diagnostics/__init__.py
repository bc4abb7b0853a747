"""Progress bars: ``progress`` for futures, ``ProgressBar`` for whatever a ``with`` block computes."""

from kask.diagnostics.bars import ProgressBar, progress

__all__ = ["ProgressBar", "progress"]
