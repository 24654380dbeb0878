# shellcheck shell=bash
# A Python with the packages that a list pins, installed once for this machine,
# outside the checkout (Debian: python3-venv).

# python_with NAME REQUIREMENTS: prints the program. One environment for each
# list and interpreter, made by one run at a time.
python_with() {
    local name=$1 list=$2 version cache venv
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/taskevents-stack
    name=${name//\//-}
    venv=$cache/$name-$version-$(sha256sum "$list" | head -c 16)
    mkdir -p "$cache"
    (
        flock 8
        [[ ! -e $venv/.complete ]] || exit 0
        echo "installing what $list lists" >&2
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --requirement "$list"
        touch "$venv/.complete"
    ) 8>"$cache/.$name-lock" >&2
    printf '%s\n' "$venv/bin/python"
}
