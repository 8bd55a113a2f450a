# Completion of glancectl for bash. Made by "glancectl completion bash", not by hand.
#
# Groups, verbs, options and their fixed values are in here. For what only the cloud knows this
# calls "glancectl _suggest", which never logs in and answers at once or not at all.

# Tell what may follow the words of a command: more commands, arguments by their kinds (one with
# dots repeats), flags, and options with a value, each with the kind of that.
_glancectl_command() {
    commands="" arguments="" flags="" options=""
    case "$1" in
@commands@
    esac
    commands=${commands//$'\n'/ }
}

# Make the values of kind $1 the candidates; $2 is "argument" if it is no option's. Files are left to bash, which knows them better.
_glancectl_values() {
    local value what
    case "$1" in
@sets@
        text) ;;
        file) compopt -o default ;;
        at-file) mapfile -t candidates < <(compgen -P @ -f -- "${word#@}") ;;
        command) mapfile -t candidates < <(compgen -c -- "$word") ;;
        *"|"*) IFS="|" read -ra candidates <<<"$1" ;;
        *)
            [[ $1 != image-or-file ]] || compopt -o default
            while IFS=$'\t' read -r value what; do
                # Before a -- a name that begins with a dash would be an option.
                [[ $value == -* && $2 == argument && -z $dashes ]] || candidates+=("$value")
            done < <("$program" "${globals[@]}" _suggest "${1%-or-file}" -- "${word#"$prefix"}" \
                2>/dev/null)
            ;;
    esac
}

# Split a line into words as bash does, without their quotes: the last one into word. quote: the
# quotes that are still open in it. kept: what of it bash will not replace, since it takes a colon
# or an equals sign, say, for the end of a word.
_glancectl_split() {
    local line=$1 char started="" opened=""
    local -i i
    words=() word="" quote="" kept=""
    for ((i = 0; i < ${#line}; i++)); do
        char=${line:i:1}
        if [[ $quote == "$char" && -n $quote ]]; then
            quote=""
        elif [[ $quote == "'" ]]; then
            word+=$char
        elif [[ $char == "\\" ]]; then
            i+=1 started=1
            [[ $quote && ${line:i:1} != [\"\\\$\`] ]] && word+="\\"
            word+=${line:i:1}
        elif [[ $quote ]]; then
            word+=$char
        elif [[ $char == [\"\'] ]]; then
            quote=$char started=1 opened=$word
        elif [[ $char == [[:space:]] ]]; then
            [[ $started ]] && words+=("$word")
            word="" started="" kept=""
        else
            started=1
            [[ $char == @ ]] && kept=$word # where a word ends, too, but bash replaces it
            word+=$char
            [[ $char != @ && $COMP_WORDBREAKS == *"$char"* ]] && kept=$word
        fi
    done
    [[ -z $quote ]] || kept=$opened
}

# Find the kind of the value that option $1 takes; fail when it takes none.
_glancectl_kind() {
    local option
    for option in $options; do
        if [[ ${option%%=*} == "$1" ]]; then
            kind=${option#*=}
            return 0
        fi
    done
    return 1
}

# Put a candidate into COMPREPLY as bash needs it: what replaces the word, quoted.
_glancectl_reply() {
    local value=$1
    [[ $value == "$word"* ]] || return
    value=${value:${#kept}}
    case $quote in
        "'")
            value=${value//\'/\'\\\'\'}
            # bash closes the quotes unless a quote is the last character.
            [[ $value != *\'\\\'\' ]] || value=${value%\'}
            ;;
        '"')
            value=${value//\\/\\\\}
            value=${value//\"/\\\"}
            value=${value//\$/\\\$}
            value=${value//\`/\\\`}
            value=${value//!/\"\'!\'\"}
            [[ $value != *\\\" ]] || value="${value%\\\"}\"\\\""
            ;;
        *) printf -v value %q "$value" ;;
    esac
    COMPREPLY+=("$value")
}

_glancectl() {
    local IFS=$' \t\n'
    local -a words globals=() candidates=()
    local word quote kept prefix="" commands arguments flags options
    local path="" kind="" awaited="" dashes="" before="" argument option
    local -i place=0
    COMPREPLY=()
    _glancectl_split "${COMP_LINE:0:COMP_POINT}"
    local program=${words[0]/#\~\//$HOME/}
    type -P "$program" >/dev/null || program=glancectl

    _glancectl_command ""
    for before in "${words[@]:1}"; do
        if [[ $awaited ]]; then
            awaited=""
        elif [[ -z $dashes && $before == -- ]]; then
            dashes=1
        elif [[ -z $dashes && $before == -?* ]]; then
            if _glancectl_kind "$before"; then awaited=1; fi
        elif [[ $commands ]]; then
            [[ " $commands " == *" $before "* ]] || return
            path="${path:+$path }$before"
            _glancectl_command "$path"
        else
            place+=1
        fi
        [[ $path ]] || globals+=("$before")
    done

    if [[ $awaited ]]; then
        [[ $path ]] || unset "globals[-1]" # it has no value yet
        _glancectl_values "$kind"
    elif [[ -z $dashes && $word == --*=* ]] && _glancectl_kind "${word%%=*}"; then
        prefix="${word%%=*}="
        _glancectl_values "$kind"
    elif [[ -z $dashes && $word == -* ]]; then
        read -ra candidates -d "" <<<"$flags"
        for option in $options; do candidates+=("${option%%=*}"); done
    elif [[ $commands ]]; then
        read -ra candidates -d "" <<<"$commands"
    else
        for argument in $arguments; do
            if ((place == 0)) || [[ $argument == *... ]]; then
                _glancectl_values "${argument%...}" argument
                break
            fi
            place+=-1
        done
    fi

    for option in "${candidates[@]}"; do _glancectl_reply "$prefix$option"; done
}

complete -F _glancectl glancectl
