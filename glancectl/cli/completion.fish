# Completion of glancectl for fish. Made by "glancectl completion fish", not by hand.
#
# Groups, verbs, options and their fixed values are in here. For what only the cloud knows this
# calls "glancectl _suggest", which never logs in and answers at once or not at all.

# Print the words before the cursor's that are neither options nor values of one.
function __glancectl_words
    set -l words (commandline -opc)
    set -l found
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --
                set -a found $words[2..-1]
                break
            case @valued@
                set -e words[1]
            case '-*'
            case '*'
                set -a found $words[1]
        end
        set -e words[1]
    end
    string join \n -- $found
end

# Tell whether these words are there, and no more: a group or a verb comes next.
function __glancectl_after
    set -l words (__glancectl_words)
    test "$words" = "$argv"
end

# Tell whether the words of this command are there.
function __glancectl_in
    set -l words (__glancectl_words)
    set -l last (count $argv)
    test "$words[1..$last]" = "$argv"
end

# Tell whether argument number $argv[1] of a command is next; 2+ is the second or a later one.
function __glancectl_argument
    set -l place $argv[1]
    set -e argv[1]
    __glancectl_in $argv
    or return
    set -l words (__glancectl_words)
    set -l next (math (count $words) - (count $argv) + 1)
    switch $place
        case '*+'
            test $next -ge (string trim -c + -- $place)
        case '*'
            test $next -eq $place
    end
end

# Print the values of a kind that only the cloud knows, with what they are.
function __glancectl_suggest
    set -l words (commandline -opc)
    set -l program $words[1]
    set -l globals
    set -e words[1]
    type -q -- $program
    or set program glancectl
    while set -q words[1]
        switch $words[1]
            case @global_valued@
                set -q words[2]
                or break # it has no value yet
                set -a globals $words[1]
                set -e words[1]
            case '-*'
            case '*'
                break
        end
        set -a globals $words[1]
        set -e words[1]
    end
    set -l prefix (commandline -ct | string replace -r -- '^--[^=]*=' '')
    command $program $globals _suggest $argv[1] -- "$prefix" 2>/dev/null
end

# The same for an argument: before a -- a name that begins with a dash would be an option.
function __glancectl_suggest_argument
    if contains -- -- (commandline -opc)
        __glancectl_suggest $argv
    else
        __glancectl_suggest $argv | string match -v -- '-*'
    end
end

# Print the files after the @ of @FILE.
function __glancectl_at_files
    set -l token (commandline -ct | string replace -- @ '')
    complete -C "'' $token" | string replace -r -- '^' @
end

complete -c glancectl -f
@lines@
