# Completion of zkelect in fish: zkelect itself says what a word can be.

function __zkelect_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l plain (string unescape -- $current)
    or set plain $current
    set -l zkelect $words[1]
    command -q -- $zkelect
    or set zkelect zkelect
    set -l answer (command $zkelect __complete fish $words[2..-1] "$plain" 2>/dev/null </dev/null)
    switch "$answer[1]"
        case 'files*'
            set -l sticks (string replace -r '^files ?' '' -- $answer[1])
            string replace -r '^' -- $sticks (__fish_complete_path (string sub -s (math (string length -- $sticks) + 1) -- "$plain"))
        case 'command*'
            set -l first (math (string replace 'command ' '' -- $answer[1]) + 2)
            set -l line (string escape -- $words[$first..-1]) $current
            complete -C "$line"
        case words
            printf '%s\n' $answer[2..-1]
    end
end

complete -c zkelect -f -k -a '(__zkelect_complete)'
