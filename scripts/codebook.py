"""Writes docs/codebook.md from the codebook's own data (`bgtk_lib/reference/`), so that the page cannot drift from it.

`make docs`; tests/test_docs.py holds that the committed page is the one this writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bgtk_lib.schema import Column, Table, districts, read_reference, tables
from bgtk_lib.workspace.store import write_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "codebook.md"
HEAD = """\
# Buku kode / Codebook

<!-- Made by scripts/codebook.py (`make docs`) from bgtk_lib/reference/. Do not edit this page; edit what it is made of. -->

Tabel kanonik dan daftar kode yang dipakai semua laporan. Halaman ini dibuat dari `bgtk_lib/reference/`; yang disunting
adalah berkas di folder itu, lalu `make docs`. Kolom yang tidak wajib boleh tidak ada; yang memerlukannya mengatakannya.

The canonical tables and code lists that every report uses. This page is made from `bgtk_lib/reference/`; edit the files
there, then run `make docs`. A column that is not required may be absent, and what needs it says so.

Jenis / kinds: `text` teks, `integer` bilangan bulat, `number` bilangan, `boolean` ya/tidak, `time` waktu berzona
(Asia/Jakarta), `date` tanggal. Nomor identitas selalu teks dan tidak pernah masuk tabel ini; `pid` adalah kode samaran.
/ Identifiers are always text and never enter these tables; `pid` is a pseudonym.
"""


def main() -> None:
    """Write the page."""
    write_text(PAGE, render())


def render() -> str:
    """Return the whole page."""
    parts = [HEAD, "## Tabel / Tables\n", _list_tables(tables().values())]
    parts += [_describe(table) for table in tables().values()]
    parts += ["## Daftar kode / Registers\n", _districts(), _assessments(), _programmes(), _framework(), _refused()]
    return "\n".join(parts)


def _grid(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Return one Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines) + "\n"


def _list_tables(found: Iterable[Table]) -> str:
    rows = [[f"[`{table.name}`](#{table.name})", _codes(table.key), table.about.id, table.about.en] for table in found]
    return _grid(["tabel / table", "kunci / key", "isi", "content"], rows)


def _describe(table: Table) -> str:
    rows = [
        [
            f"`{name}`",
            "ya" if name in table.key else "",
            column.kind,
            column.unit or "",
            "ya" if column.required else "",
            _allowed(column),
            column.about.id,
            column.about.en,
        ]
        for name, column in table.columns.items()
    ]
    header = ["kolom / column", "kunci / key", "jenis / kind", "satuan / unit", "wajib / required"]
    body = _grid([*header, "yang boleh / allowed", "arti", "meaning"], rows)
    return f"### {table.name}\n\n{table.about.id}. / {table.about.en}.\n\n{body}"


def _allowed(column: Column) -> str:
    if column.codes:
        return f"daftar / register `{column.codes}`"
    if column.allowed:
        return _codes(column.allowed)
    if column.pattern:
        return f"pola / pattern `{column.pattern}`"
    if column.low is not None and column.high is not None:
        return f"{column.low:g}–{column.high:g}"
    return f"≥ {column.low:g}" if column.low is not None else f"≤ {column.high:g}" if column.high is not None else ""


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _districts() -> str:
    rows = [
        [f"`{code}`", f"`{row['bps']}`", f"`{row['dapodik']}`", row["label"], row["aliases"].replace("|", ", ")]
        for code, row in districts().iterrows()
    ]
    note = (
        "Kode Kemendagri bertitik adalah kode di dalam meja kerja ini. Empat angka tanpa titik berarti kabupaten yang"
        " berbeda bagi BPS dan Kemendagri (18.01 adalah Lampung Selatan, tetapi 1801 bagi BPS adalah Lampung Barat)."
        " / The dotted Kemendagri code is the one used inside. Four digits without a dot mean different districts for"
        " BPS and Kemendagri."
    )
    header = ["Kemendagri", "BPS", "Dapodik", "nama / name", "ejaan lain / aliases"]
    return f"### districts\n\n{note}\n\n{_grid(header, rows)}"


def _assessments() -> str:
    entries = read_reference("assessments.yaml").items()
    rows = [[f"`{code}`", one["kind"], one["domain"], one["id"], one["en"]] for code, one in entries]
    note = (
        "Empat belas mata pelajaran (profesional) dan tiga asesmen umum. Kodenya usulan meja kerja ini; tes mengukur"
        " pengetahuan tentang kompetensi. / Fourteen subjects (professional) and three general assessments. The codes"
        " are this workbench's proposal; the tests measure knowledge about a competence."
    )
    return (
        f"### assessments\n\n{note}\n\n{_grid(['kode / code', 'jenis / kind', 'ranah / domain', 'nama', 'name'], rows)}"
    )


def _programmes() -> str:
    entries = read_reference("programmes.yaml").items()
    rows = [[f"`{code}`", one["id"], one["en"], ", ".join(one["aliases"])] for code, one in entries]
    return f"### programmes\n\n{_grid(['kode / code', 'nama', 'name', 'nama lain / aliases'], rows)}"


def _framework() -> str:
    model = read_reference("framework.yaml")
    rows = [[f"`{code}`", one["domain"], one["id"], one["en"]] for code, one in model["indicators"].items()]
    doubt = (
        "**Belum diverifikasi:** rumusan kedua belas indikator belum dicocokkan dengan lampiran peraturannya. Jangan"
        " dikutip sebelum dicocokkan. / **Not verified yet:** the wording of the twelve indicators has not been checked"
        " against the annex. Do not quote it before.\n\n"
    )
    levels = (
        f"Tingkat / levels: {', '.join(model['levels'])}. Tingkat ini tidak disimpulkan dari persen jawaban benar."
        " / These levels are not inferred from a percentage of right answers."
    )
    basis = f"{model['legal_basis']}.\n\n{'' if model['verified'] else doubt}{levels}"
    return f"### indicators\n\n{basis}\n\n{_grid(['kode / code', 'ranah / domain', 'indikator', 'indicator'], rows)}"


def _refused() -> str:
    rows = [
        [entry["why"], _codes([entry["field"], *entry["also"]]), entry.get("only", "")]
        for entry in read_reference("refused.yaml")
    ]
    note = (
        "Kolom yang dibuang saat dibaca, apa pun isi berkas pemetaan. / Columns dropped at the door, whatever a mapping"
        " says."
    )
    header = ["isi / content", "nama kolom / column names", "hanya untuk tabel / only for table"]
    return f"### refused\n\n{note}\n\n{_grid(header, rows)}"


if __name__ == "__main__":
    main()
