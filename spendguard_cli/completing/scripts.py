"""The scripts that the shells load; `completions/` holds them as files, and a test compares the two.

They know nothing of the commands: they ask the program (`answer.py`), so they need no update with it.
"""

SHELLS = ("bash", "zsh", "fish")
MARK = "completes the words of spendguard"
"""By which a file is known to be one of these."""

BASH = f"""\
# bash: {MARK}; made by `spendguard completions show bash`.
_spendguard() {{
    local kind line
    COMPREPLY=()
    {{
        IFS= read -r kind
        while IFS= read -r line; do COMPREPLY+=("$line"); done
    }} < <(_SPENDGUARD_COMPLETE=bash _SPENDGUARD_LINE="${{COMP_LINE:0:COMP_POINT}}" \\
        _SPENDGUARD_WORD="$2" "$1" 2>/dev/null)
    if [[ $kind == files ]]; then
        compopt -o default -o bashdefault 2>/dev/null
    fi
}}
complete -F _spendguard spendguard
"""

ZSH = f"""\
#compdef spendguard
# zsh: {MARK}; made by `spendguard completions show zsh`.
_spendguard() {{
    local kind line
    local -a lines names shown
    lines=("${{(@f)$(_SPENDGUARD_COMPLETE=zsh "${{(Q)words[1]}}" \\
        "${{(@Q)words[2,CURRENT-1]}}" "$PREFIX" 2>/dev/null)}}")
    kind=$lines[1]
    if [[ $kind == files ]]; then
        _files
        return
    fi
    for line in "${{(@)lines[2,-1]}}"; do
        names+=("${{line%%$'\\t'*}}")
        shown+=("${{line/$'\\t'/  -- }}")
    done
    (( $#names )) && compadd -l -d shown -a -- names
}}
if [[ $funcstack[1] == _spendguard ]]; then
    _spendguard "$@"
else
    compdef _spendguard spendguard
fi
"""

FISH = f"""\
# fish: {MARK}; made by `spendguard completions show fish`.
function __spendguard_complete
    set -l words (commandline -opc)
    set -l now (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l lines (env _SPENDGUARD_COMPLETE=fish $program $words "$now" 2>/dev/null)
    if test "$lines[1]" = files
        __fish_complete_path "$now"
    else if test (count $lines) -gt 1
        printf '%s\\n' $lines[2..-1]
    end
end
complete -c spendguard -f -a '(__spendguard_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
FILES = {"bash": "spendguard.bash", "zsh": "_spendguard", "fish": "spendguard.fish"}
"""How each is named in `completions/`."""
