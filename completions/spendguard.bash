# bash: completes the words of spendguard; made by `spendguard completions show bash`.
_spendguard() {
    local kind line
    COMPREPLY=()
    {
        IFS= read -r kind
        while IFS= read -r line; do COMPREPLY+=("$line"); done
    } < <(_SPENDGUARD_COMPLETE=bash _SPENDGUARD_LINE="${COMP_LINE:0:COMP_POINT}" \
        _SPENDGUARD_WORD="$2" "$1" 2>/dev/null)
    if [[ $kind == files ]]; then
        compopt -o default -o bashdefault 2>/dev/null
    fi
}
complete -F _spendguard spendguard
