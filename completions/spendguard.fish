# fish: completes the words of spendguard; made by `spendguard completions show fish`.
function __spendguard_complete
    set -l words (commandline -opc)
    set -l now (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l lines (env _SPENDGUARD_COMPLETE=fish $program $words "$now" 2>/dev/null)
    if test "$lines[1]" = files
        __fish_complete_path "$now"
    else if test (count $lines) -gt 1
        printf '%s\n' $lines[2..-1]
    end
end
complete -c spendguard -f -a '(__spendguard_complete)'
