"""How a client proves who it is: a token, TLS certificates, or both."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from kask import config
from kask.exceptions import ClusterError


@dataclasses.dataclass(frozen=True)
class Security:
    """Credentials for one scheduler; what is not given comes from the settings ``security.*``.

    Parameters
    ----------
    token : str, optional
        The scheduler's token.
    token_file : path, optional
        A file that holds it.
    tls_ca_file, tls_client_cert, tls_client_key : path, optional
        PEM files: the authority's certificate, this client's certificate and its key. ``kask tls create`` makes them.

    Examples
    --------
    >>> from kask.distributed import Security
    >>> Security(token_file="/run/kask/token").token_file
    '/run/kask/token'
    """

    token: str | None = dataclasses.field(default=None, repr=False)
    token_file: str | os.PathLike | None = None
    tls_ca_file: str | os.PathLike | None = None
    tls_client_cert: str | os.PathLike | None = None
    tls_client_key: str | os.PathLike | None = None

    def connection_arguments(self) -> dict[str, str | None]:
        """Keywords for ``Engine.connect``."""
        token = self.token
        if token is None and self.token_file is not None:
            token = _read_token(Path(self.token_file))
        if token is None:
            token = config.get("security.token") or None
        if token is None:
            token = _token_of_this_machine()
        return {"token": token, **self._certificates()}

    def _certificates(self) -> dict[str, str | None]:
        found = {
            "tls_ca": _text(self.tls_ca_file) or config.get("security.tls_ca") or None,
            "tls_cert": _text(self.tls_client_cert) or config.get("security.tls_cert") or None,
            "tls_key": _text(self.tls_client_key) or config.get("security.tls_key") or None,
        }
        names = {"tls_ca": "tls_ca_file", "tls_cert": "tls_client_cert", "tls_key": "tls_client_key"}
        lacking = [
            f"{names[setting]}= (or the setting security.{setting})" for setting, path in found.items() if not path
        ]
        if 0 < len(lacking) < len(found):
            raise ValueError(
                f"TLS needs an authority's certificate, a certificate and its key; {' and '.join(lacking)} is missing"
            )
        return found


def _token_of_this_machine() -> str | None:
    """From the settings, the variable that the command line knows as well, or the file that ``kask scheduler`` makes."""
    named = config.get("security.token_file") or os.environ.get("KASK_TOKEN_FILE")
    if named:
        return _read_token(Path(named))
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    file = folder / "kask" / "token"
    return _read_token(file) if file.exists() else None


def _text(path: str | os.PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ClusterError(f"cannot read the token file {path}: {error.strerror}") from None


def as_security(security: Any) -> Security:
    """What a user gave as ``security=``."""
    if security is None:
        return Security()
    if isinstance(security, Security):
        return security
    if isinstance(security, dict):
        return Security(**security)
    raise TypeError(f"security= must be a kask.distributed.Security or a dict of its fields, got {security!r}")


def read_scheduler_file(path: str | os.PathLike, security: Security) -> tuple[str, Security]:
    """Address and credentials that a scheduler file names; what the user gave wins."""
    try:
        found = json.loads(Path(path).read_text())
        address = found["address"]
    except OSError as error:
        raise ClusterError(f"cannot read the scheduler file {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ClusterError(f"the scheduler file {path} is no JSON object with an address") from None
    fields = {
        field.name: getattr(security, field.name) or found.get(field.name) for field in dataclasses.fields(Security)
    }
    return address, Security(**fields)


def write_scheduler_file(path: str | os.PathLike, address: str, security: Security) -> None:
    """Write what ``read_scheduler_file`` reads, for the owner's eyes only."""
    if address.startswith("inproc:") or "://" not in address:
        raise ClusterError("no other process can reach a scheduler whose workers are threads of this process")
    # Who reads the file may be in another folder.
    found = {
        field.name: value if field.name == "token" else os.path.abspath(value)
        for field in dataclasses.fields(Security)
        if (value := getattr(security, field.name)) is not None
    }
    content = {"address": address} | found
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
