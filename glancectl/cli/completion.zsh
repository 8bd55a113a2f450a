#compdef glancectl
# Completion of glancectl for zsh. Made by "glancectl completion zsh", not by hand.
#
# Groups, verbs, options and their fixed values are in here. For what only the cloud knows this
# calls "glancectl _suggest", which never logs in and answers at once or not at all.

# Add the values of kind $1; argument: it is no option's value.
_glancectl_values() {
    local kind=$1 argument=$2 program=${typed[1]/#\~\//$HOME/} value what expl
    local -a values shown
    case $kind in
@sets@
        file) _files; return ;;
        at-file) compset -P @; _files; return ;;
        command) _command_names -e; return ;;
        image-or-file)
            _glancectl_values image $argument
            _files
            return
            ;;
    esac
    if (( $#values )); then
        _wanted values expl $kind compadd -a values
        return
    fi
    whence -p -- $program >/dev/null || program=glancectl
    $program $globals _suggest $kind -- "${(Q)PREFIX}" 2>/dev/null |
        while IFS=$'\t' read -r value what; do
            # Before a -- a name that begins with a dash would be an option.
            [[ $value == -* && -n $argument && $typed[(Ie)--] -eq 0 ]] && continue
            values+=("$value")
            shown+=("$value${what:+  -- $what}")
        done
    (( $#values )) && _wanted values expl $kind compadd -l -d shown -a values
}

# Complete the verb of a group, or leave it to the function of the verb that is there.
_glancectl_group() {
    local group=$1 context state state_descr line
    local -A opt_args
    local -a verbs=("${@:2}")
    _arguments -C -A '-*' '(-h --help)'{-h,--help}'[Show this help.]' \
        '1:verb:->verb' '*::argument:->rest'
    case $state in
        verb) _describe -t commands verb verbs ;;
        rest) (( $+functions[_glancectl_${group}_$words[1]] )) && _glancectl_${group}_$words[1] ;;
    esac
}

@functions@

_glancectl() {
    local curcontext=$curcontext context state state_descr line
    local -A opt_args
    local -a typed=("${words[@]}") globals
    local -a groups=(
@groups@
    )
    _arguments -C -A '-*' \
@globals@
        '1:group:->group' '*::argument:->rest'
    case $state in
        group) _describe -t commands group groups ;;
        rest)
            # The global options: what was typed before the group.
            globals=("${(@Q)typed[2,$#typed-$#words]}")
            (( $+functions[_glancectl_$words[1]] )) && _glancectl_$words[1]
            ;;
    esac
}

# Either zsh has loaded this file as the function _glancectl, or somebody reads it in.
if [[ $funcstack[1] == _glancectl ]]; then
    _glancectl "$@"
else
    compdef _glancectl glancectl
fi
