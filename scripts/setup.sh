#!/bin/sh
# Makes .venv: the locked versions, and the project itself (editable). It changes nothing else, and where nothing
# changed since the last run it does nothing.
#
#   sh scripts/setup.sh                   uv where it is, else pipx runs uv, else python3 -m venv with pip
#   BGTK_INSTALLER=uv|pipx|pip sh …       this way and no other
#   BGTK_PYTHON=python3.12 sh …           this interpreter and no other
#   BGTK_VENV=DIR sh …                    that folder in place of .venv
#
# Exit codes: 0 the environment is there · 2 something has to be installed first, and which · else the installer's own.
set -eu
cd "$(dirname "$0")/.."

venv=${BGTK_VENV:-.venv}
stamp=$venv/.bgtk-stamp
export UV_PYTHON_DOWNLOADS=never # one that is not here would come from outside the package registry

say() { printf '%s\n' "$*" >&2; }

need() { # MESSAGE-ID MESSAGE-EN LINE: what is missing, and the one line that installs it
    say "$1"
    say "$2"
    say ""
    say "    $3"
    say ""
    exit 2
}

install_line() { # for this system's package manager
    if command -v apt-get >/dev/null; then
        root=""
        [ "$(id -u)" = 0 ] || root="sudo "
        echo "${root}apt-get update && ${root}apt-get install -y $*"
    elif command -v brew >/dev/null; then
        echo "brew install python@3.12 pipx"
    elif command -v dnf >/dev/null; then
        echo "sudo dnf install -y python3.12 pipx"
    else
        echo "Python 3.12 + pipx (+ venv)"
    fi
}

is_supported() { # a shim that leads nowhere fails here too
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

find_python() {
    for name in ${BGTK_PYTHON:-python3 python3.12 python3.13 python3.11 python3.14 python}; do
        if is_supported "$name"; then
            # Inside an activated .venv, python3 is the one we are about to replace: name the one behind it.
            "$name" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'
            return
        fi
    done
    return 1
}

find_installer() {
    if uv --version >/dev/null 2>&1; then
        echo uv
    elif pipx --version >/dev/null 2>&1; then
        echo pipx
    else
        echo pip
    fi
}

install_with_uv() { # COMMAND…: uv itself, or the way to it
    # What stands in .venv and still works is changed in place: `sync` takes away what the lock no longer names.
    if [ -n "${BGTK_PYTHON:-}" ] || ! is_supported "$venv/bin/python"; then
        "$@" venv --quiet --clear --python "$python" "$venv"
    fi
    echo "-e ." | "$@" pip sync --quiet --python "$venv/bin/python" requirements.lock.txt -
}

install_with_pip() {
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || need \
        "Python ini tidak dapat membuat lingkungan kerja. Jalankan baris ini, lalu ulangi perintah Anda:" \
        "This Python cannot make an environment. Run this line, then repeat your command:" \
        "$(install_line pipx)"
    "$python" -m venv --clear "$venv"
    # --no-deps: the lock is the whole list, nothing beside it comes in.
    for what in "-r requirements.lock.txt" "-e ."; do
        # shellcheck disable=SC2086 # two words on purpose
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 --no-deps $what
    done
}

# What an environment is made of; also its place, which an editable install carries in itself.
fingerprint() {
    { cat requirements.lock.txt pyproject.toml scripts/setup.sh && pwd && echo "${BGTK_PYTHON:-}"; } | cksum
}

# .venv/bin/python is a link and dies with the Python it was made from; then it is made again.
if [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ] && is_supported "$venv/bin/python"; then
    exit 0
fi

python=$(find_python) || need \
    "Python 3.11 sampai 3.14 tidak ditemukan. Jalankan baris ini, lalu ulangi perintah Anda:" \
    "No Python from 3.11 to 3.14 was found. Run this line, then repeat your command:" \
    "$(install_line "$(command -v python3 >/dev/null && echo python3.11 python3.11-venv || echo python3)" pipx)"
installer=${BGTK_INSTALLER:-$(find_installer)}

say "Menyiapkan $venv dengan $installer … / Preparing $venv with $installer …"
rm -f "$stamp"
case $installer in
uv) install_with_uv uv ;;
pipx) install_with_uv pipx run uv ;;
pip) install_with_pip ;;
*)
    say "BGTK_INSTALLER=$installer: uv, pipx, pip."
    exit 2
    ;;
esac
fingerprint >"$stamp"
say "Selesai. / Done."
