"""What an error of the database means, and what to do.

Promises: every error of the driver becomes a sentence that says what to do; none of them speaks against the event, so
all are worth another try; no password is in the sentence.
"""

from __future__ import annotations

from glass_edge.adapters.sink import RetryableError

_PAGE = "docs/reference/sql.md"
_SERVER = {  # by SQLSTATE, the longest beginning that fits: postgresql.org/docs/current/errcodes-appendix.html
    "08": "start the server, or mend the network",
    "22": "a column is not as this program made it; give it back its type ({page})",
    "23": "somebody else wrote or guards these tables; remove the rows or the constraint that stand in the way",
    "25006": "this server only reads; give the URL of the primary",
    "28": "correct the user of the URL, password_file, or the server's pg_hba.conf",
    "3D000": "make the database, or correct its name in the URL",
    "3F000": "make the schema and its tables (--print-ddl), or set create_tables = true",
    "40": "it is tried again, nothing needs to be done unless this stays",
    "42501": "grant the rights that {page} names",
    "42P01": "make the missing tables (--print-ddl), or grant the rights that {page} names",
    "42": "the tables are not as this program made them; mend them by --print-ddl",
    "53100": "make room on the server's disk",
    "53300": "raise max_connections of the server: each adapter holds one",
    "55P03": "somebody holds a lock on these tables; end that transaction",
    "57014": "it took longer than timeout_s; end what blocks or slows the server, or give it more time",
    "57P": "wait until the server is up again",
    "58030": "the server's disk fails; mend it",
}
_SQLITE = {
    "SQLITE_BUSY": "another program holds it locked for longer than timeout_s; close that",
    "SQLITE_LOCKED": "another program holds it locked for longer than timeout_s; close that",
    "SQLITE_FULL": "make room on the disk",
    "SQLITE_IOERR": "check the disk and its free room",
    "SQLITE_READONLY": "let this user write the file and its folder",
    "SQLITE_CANTOPEN": "give a file in a folder that exists and that this user may write",
    "SQLITE_PERM": "let this user write the file and its folder",
    "SQLITE_NOTADB": "it is something else; give another file",
    "SQLITE_CORRUPT": "it is damaged; move it away and put a backup in its place",
    "SQLITE_CONSTRAINT": _SERVER["23"],
    "SQLITE_ERROR": _SERVER["42"],
}
_UNREACHED = (
    "start the server, or correct url, password_file, sslmode or ca_file; the server's log says why it refused a login"
)


def failure(place: str, error: BaseException) -> RetryableError:
    """The error to raise for one of the driver's.

    Args:
        place: URL of the database.
        error: of sqlite3 or psycopg, or SQLAlchemy's around it.
    """
    original = getattr(error, "orig", None) or error
    text = " ".join(str(original).split()) or type(original).__name__
    return RetryableError(f"{place}: {text}; {_remedy(original)}")


def _remedy(original: BaseException) -> str:
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return _longest(_SERVER, state, "mend the server").format(page=_PAGE)
    name = getattr(original, "sqlite_errorname", None)
    if name is not None:
        return _longest(_SQLITE, name, "mend the database").format(page=_PAGE)
    return _UNREACHED


def _longest(remedies: dict[str, str], code: str, otherwise: str) -> str:
    for length in range(len(code), 0, -1):
        if code[:length] in remedies:
            return remedies[code[:length]]
    return otherwise
