"""rows.py - all rows, in the order of the goal table."""
import rows_bytes  # noqa: F401
import rows_calls  # noqa: F401
import rows_crowd  # noqa: F401
import rows_kinds  # noqa: F401
import rows_life  # noqa: F401
import rows_limit  # noqa: F401
import rows_net  # noqa: F401
import rows_reload  # noqa: F401
from row import ROWS as unsorted

ROWS = dict(sorted(unsorted.items(), key=lambda item: int(item[0])))
