"""The methods of ``Array``, one family a module. They only hand over to the functions of ``kask.array.ops``."""
