"""One person, one pseudonym: NUPTK, NIP and NIK are resolved to one person by keyed hashes before anything is paired.

Key and ledger lie outside the workspace and are never printed. The workspace keeps the key's fingerprint only: another
key would silently break every pairing, so it is a refusal.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bgtk_lib.errors import LinkageError
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import write_json

KEY_BYTES = 32


@dataclass(frozen=True)
class Resolved:
    """Identifiers resolved to persons.

    Attributes
    ----------
    pids : Series of str
        Pseudonym of each row, in the order given.
    several_ids : set of str
        Pseudonyms of persons under whom two identifiers of one kind came together: one person under two numbers, or
        two persons under one.
    """

    pids: pd.Series[str]
    several_ids: frozenset[str]


def open_key(workspace: Workspace) -> bytes:
    """Return the secret key of a workspace, made once.

    Raises
    ------
    LinkageError
        If the key is not the one whose fingerprint the workspace has stored, is lost, or is no key.
    """
    path = workspace.secrets / "key"
    stored = workspace.key_fingerprint
    if not path.is_file():
        if stored:
            raise LinkageError(say("identity.key_lost", name=workspace.declared.name))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        raise LinkageError(say("identity.other_key", name=workspace.declared.name)) from error
    if len(key) != KEY_BYTES:
        raise LinkageError(say("identity.other_key", name=workspace.declared.name))
    fingerprint = hashlib.sha256(b"bgtk fingerprint" + key).hexdigest()[:16]
    if stored and stored != fingerprint:
        raise LinkageError(say("identity.other_key", name=workspace.declared.name))
    if not stored:
        write_json(workspace.folder("identity.json"), {"key_fingerprint": fingerprint})
    return key


def hash_value(key: bytes, kind: str, value: str) -> str:
    """Return the keyed hash (HMAC-SHA-256) of one identifier or fact."""
    return hmac.new(key, f"{kind}|{value}".encode(), hashlib.sha256).hexdigest()


def resolve_persons(ids: pd.DataFrame, *, key: bytes, ledger: Path) -> Resolved:
    """Return one pseudonym a row: rows that share any identifier, now or in the ledger, are one person.

    Parameters
    ----------
    ids : DataFrame
        One column a kind (nuptk, nip, nik, local), null where absent; at least one value a row.
    key : bytes
        The secret key.
    ledger : Path
        Parquet file id_kind, id_hmac → pid beside the key; read, extended and written back.

    Notes
    -----
    Rows and identifiers are the two sides of a graph; its connected components are the persons. A component that
    holds a person of the ledger keeps that pseudonym. One that joins two persons of the ledger keeps the first by
    code, and is named in `several_ids`.
    """
    long = ids.reset_index(drop=True).melt(ignore_index=False, var_name="id_kind").dropna(subset="value")
    long["row"] = long.index
    distinct = long[["id_kind", "value"]].drop_duplicates()
    distinct["id_hmac"] = [hash_value(key, k, v) for k, v in zip(distinct["id_kind"], distinct["value"], strict=True)]
    long = long.merge(distinct, on=["id_kind", "value"], validate="many_to_one")
    known = _read_ledger(ledger)
    nodes, names = pd.factorize(pd.concat([long["id_hmac"], known["id_hmac"]]))
    left = nodes[: len(long)]
    persons, person_names = pd.factorize(known["pid"])
    n_rows, n_ids = len(ids), len(names)
    tails = np.concatenate([left + n_rows, nodes[len(long) :] + n_rows])
    heads = np.concatenate([long["row"].to_numpy(), persons + n_rows + n_ids])
    size = n_rows + n_ids + len(person_names)
    graph = coo_matrix((np.ones(len(heads), dtype=np.int8), (heads, tails)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    of_known = pd.Series(person_names, index=component[n_rows + n_ids :], dtype="str").groupby(level=0).min()
    of_ids = pd.Series(names, dtype="str").groupby(component[n_rows : n_rows + n_ids]).min()
    fresh = of_ids[~of_ids.index.isin(of_known.index)].map(lambda code: _name_person(key, code))
    pid_of = pd.concat([of_known, fresh])
    pids = pd.Series(component[:n_rows]).map(pid_of).astype("str")
    frame = long.assign(component=component[long["row"].to_numpy()])[
        ["component", "id_kind", "id_hmac"]
    ].drop_duplicates()
    crowded = frame.groupby(["component", "id_kind"]).size()
    several = {str(pid_of[c]) for c in crowded[crowded > 1].index.get_level_values(0)}
    kinds = pd.concat([long[["id_kind", "id_hmac"]], known[["id_kind", "id_hmac"]]]).drop_duplicates("id_hmac")
    place = pd.Series(component[n_rows : n_rows + n_ids], index=names)
    kinds["pid"] = kinds["id_hmac"].map(place).map(pid_of)
    _write_ledger(ledger, kinds.sort_values(["id_kind", "id_hmac"]))
    pids.index = ids.index
    return Resolved(pids=pids, several_ids=frozenset(several))


def _name_person(key: bytes, code: str) -> str:
    """Return a pseudonym of letters and the digits 2–7, led by a letter: never taken for an identifier."""
    digest = hmac.new(key, f"person|{code}".encode(), hashlib.sha256).digest()
    return "t" + base64.b32encode(digest[:10]).decode().lower()


def _read_ledger(path: Path) -> pd.DataFrame:
    if path.is_file():
        return pd.read_parquet(path)
    return pd.DataFrame({"id_kind": [], "id_hmac": [], "pid": []}, dtype="str")


def _write_ledger(path: Path, frame: pd.DataFrame) -> None:
    """Write the ledger whole, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    making = path.with_suffix(".writing")
    frame.to_parquet(making, index=False)
    making.chmod(0o600)
    making.replace(path)
