# Completion of glancectl for bash. Made by "glancectl completion bash", not by hand.
#
# Groups, verbs, options and their fixed values are in here. For what only the cloud knows this
# calls "glancectl _suggest", which never logs in and answers at once or not at all.

# Tell what may follow the words of a command: more commands, arguments by their kinds (one with
# dots repeats), flags, and options with a value, each with the kind of that.
_glancectl_command() {
    commands="" arguments="" flags="" options=""
    case "$1" in
        "")
            commands="image member tag task store cache info auth sandbox completion"
            flags="--insecure --no-pager --no-token-cache -v --verbose --debug --version -h
                --help"
            options="--cloud=cloud --region=text --interface=public|internal|admin --endpoint=text
                --cacert=file --timeout=text --retries=text --progress=auto|bar|plain|json|none
                --color=auto|always|never"
            ;;
        "image")
            commands="list show create delete upload stage download update activate deactivate
                import wait verify copy publish apply export prune locations"
            flags="-h --help"
            ;;
        "image list")
            flags="--no-check --hidden --protected --unprotected --long --watch -q --quiet -h
                --help"
            options="--name=text --match=text --status=image-status
                --visibility=private|shared|community|public|all --owner=project --tag=tag
                --property=text --disk-format=disk-format --container-format=container-format
                --member-status=accepted|pending|rejected|all --size-min=text --size-max=text
                --created-after=text --created-before=text --updated-after=text
                --updated-before=text --checksum=text --hash=text --id=image-id --filter=text
                --sort=text --limit=text --marker=image-id --page-size=text --interval=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image show")
            arguments="image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image create")
            arguments="text"
            flags="--protected --unprotected --hidden --visible --no-check --keep-on-failure
                --no-verify --allow-empty --no-sniff -q --quiet -h --help"
            options="--file=file --id=text --disk-format=disk-format
                --container-format=container-format --min-disk=text --min-ram=text
                --visibility=private|shared|community|public --owner=project --tag=tag
                --property=text --properties-file=file --size=text --max-size=text --checksum=file
                --header=text --decompress=auto|none|gzip|bzip2|xz|zstd --store=store
                --limit-rate=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image delete")
            arguments="image..."
            flags="-y --yes --if-exists --unprotect -q --quiet -h --help"
            options="--jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image upload")
            arguments="image file"
            flags="--no-verify --allow-empty --no-sniff -q --quiet -h --help"
            options="--size=text --max-size=text --checksum=file --header=text
                --decompress=auto|none|gzip|bzip2|xz|zstd --store=store --limit-rate=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image stage")
            arguments="image file"
            flags="--no-verify --allow-empty --no-sniff -q --quiet -h --help"
            options="--size=text --max-size=text --checksum=file --header=text
                --decompress=auto|none|gzip|bzip2|xz|zstd --limit-rate=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image download")
            arguments="image image-or-file..."
            flags="--overwrite --no-resume --no-verify -q --quiet -h --help"
            options="--connections=text --sparse=auto|never --limit-rate=text --prefer=store
                --jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image update")
            arguments="image..."
            flags="--protected --unprotected --hidden --visible --no-check --purge-properties
                --dry-run --exit-code -q --quiet -h --help"
            options="--name=text --disk-format=disk-format --container-format=container-format
                --min-disk=text --min-ram=text --visibility=private|shared|community|public
                --owner=project --tag=tag --remove-tag=tag --property=text --properties-file=file
                --remove-property=text --patch=file --jobs=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image activate")
            arguments="image..."
            flags="-q --quiet -h --help"
            options="--jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image deactivate")
            arguments="image..."
            flags="-q --quiet -h --help"
            options="--jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image import")
            arguments="image"
            flags="--all-stores --allow-failure --wait --no-wait --no-verify --allow-empty
                --no-sniff -q --quiet -h --help"
            options="--method=import-method --uri=text --file=file --remote-region=text
                --remote-image=text --remote-interface=public|internal|admin --store=store
                --timeout=text --interval=text --size=text --max-size=text --checksum=file
                --header=text --decompress=auto|none|gzip|bzip2|xz|zstd --limit-rate=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image wait")
            arguments="image..."
            flags="-q --quiet -h --help"
            options="--for=active|deactivated|queued|uploading|saving|importing|deleted
                --timeout=text --interval=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image verify")
            arguments="image file"
            flags="-q --quiet -h --help"
            options="--limit-rate=text --jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image copy")
            arguments="image..."
            flags="--protected --unprotected --members --no-check --if-missing --server-side -q
                --quiet -h --help"
            options="--to-cloud=cloud --to-region=text --to-project=project --name=text
                --visibility=private|shared|community|public --store=store --timeout=text
                --interval=text --limit-rate=text --jobs=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image publish")
            arguments="text file"
            flags="--dry-run --protected --unprotected --hidden --visible --no-check --no-verify
                --allow-empty --no-sniff -q --quiet -h --help"
            options="--retire=hide|deactivate|delete|none --keep=text --disk-format=disk-format
                --container-format=container-format --min-disk=text --min-ram=text
                --visibility=private|shared|community|public --owner=project --tag=tag
                --property=text --properties-file=file --size=text --max-size=text --checksum=file
                --header=text --decompress=auto|none|gzip|bzip2|xz|zstd --store=store
                --limit-rate=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image apply")
            arguments="file"
            flags="--prune --dry-run --exit-code --no-check --no-verify -q --quiet -h --help"
            options="--limit-rate=text --jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image export")
            flags="--no-check --hidden --protected --unprotected -q --quiet -h --help"
            options="--name=text --match=text --status=image-status
                --visibility=private|shared|community|public|all --owner=project --tag=tag
                --property=text --disk-format=disk-format --container-format=container-format
                --member-status=accepted|pending|rejected|all --size-min=text --size-max=text
                --created-after=text --created-before=text --updated-after=text
                --updated-before=text --checksum=text --hash=text --id=image-id --filter=text
                --sort=text --limit=text --jobs=text -f=yaml|json --format=yaml|json"
            ;;
        "image prune")
            flags="--all-projects --no-check -y --yes --dry-run -q --quiet -h --help"
            options="--name=text --match=text --tag=tag --older-than=text --keep=text --stuck=text
                --owner=project --jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image locations")
            commands="list add"
            flags="-h --help"
            ;;
        "image locations list")
            arguments="image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "image locations add")
            arguments="image text"
            flags="--wait --no-wait -q --quiet -h --help"
            options="--checksum=file --timeout=text --interval=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=image-column
                --column=image-column"
            ;;
        "member")
            commands="list show add update accept reject remove inbox"
            flags="-h --help"
            ;;
        "member list")
            arguments="image"
            flags="-q --quiet -h --help"
            options="--status=accepted|rejected|pending -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member show")
            arguments="image project"
            flags="--no-check -q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member add")
            arguments="image project..."
            flags="--no-check -q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member update")
            arguments="image project"
            flags="--no-check -q --quiet -h --help"
            options="--status=accepted|rejected|pending -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member accept")
            arguments="image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member reject")
            arguments="image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member remove")
            arguments="image project..."
            flags="--no-check -q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "member inbox")
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=member-column
                --column=member-column"
            ;;
        "tag")
            commands="list add remove replace"
            flags="-h --help"
            ;;
        "tag list")
            arguments="image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=tag-column --column=tag-column"
            ;;
        "tag add")
            arguments="image tag..."
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=tag-column --column=tag-column"
            ;;
        "tag remove")
            arguments="image tag..."
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=tag-column --column=tag-column"
            ;;
        "tag replace")
            arguments="image tag..."
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=tag-column --column=tag-column"
            ;;
        "task")
            commands="list show create wait"
            flags="-h --help"
            ;;
        "task list")
            flags="--watch -q --quiet -h --help"
            options="--image=image --status=pending|processing|success|failure --type=text
                --id=task-id --filter=text --sort=text --limit=text --interval=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=task-column --column=task-column"
            ;;
        "task show")
            arguments="task-id"
            flags="-q --quiet -h --help"
            options="--image=image -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=task-column --column=task-column"
            ;;
        "task create")
            flags="-q --quiet -h --help"
            options="--type=text --input=at-file -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=task-column --column=task-column"
            ;;
        "task wait")
            arguments="task-id"
            flags="-q --quiet -h --help"
            options="--image=image --timeout=text --interval=text
                -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=task-column --column=task-column"
            ;;
        "store")
            commands="list delete"
            flags="-h --help"
            ;;
        "store list")
            flags="--detail -q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=store-column
                --column=store-column"
            ;;
        "store delete")
            arguments="store image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=store-column
                --column=store-column"
            ;;
        "cache")
            commands="list queue delete clear clean prune nodes"
            flags="-h --help"
            ;;
        "cache list")
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=cache-column
                --column=cache-column"
            ;;
        "cache queue")
            arguments="image..."
            flags="-q --quiet -h --help"
            options="--jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=cache-column
                --column=cache-column"
            ;;
        "cache delete")
            arguments="image..."
            flags="-q --quiet -h --help"
            options="--jobs=text -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=cache-column
                --column=cache-column"
            ;;
        "cache clear")
            flags="-h --help"
            options="--target=cache|queue|both -f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "cache clean")
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "cache prune")
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=cache-column
                --column=cache-column"
            ;;
        "cache nodes")
            arguments="image"
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=cache-column
                --column=cache-column"
            ;;
        "info")
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=info-column --column=info-column"
            ;;
        "auth")
            commands="status token logout"
            flags="-h --help"
            ;;
        "auth status")
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=auth-column --column=auth-column"
            ;;
        "auth token")
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "auth logout")
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "sandbox")
            commands="up down status env run demo"
            flags="-h --help"
            ;;
        "sandbox up")
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=sandbox-column
                --column=sandbox-column"
            ;;
        "sandbox down")
            flags="--purge -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "sandbox status")
            flags="-q --quiet -h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value -c=sandbox-column
                --column=sandbox-column"
            ;;
        "sandbox env")
            arguments="cloud"
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "sandbox run")
            arguments="command file..."
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "sandbox demo")
            arguments="file"
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
        "completion")
            arguments="bash|zsh|fish"
            flags="-h --help"
            options="-f=table|tsv|json|jsonl|yaml|csv|value
                --format=table|tsv|json|jsonl|yaml|csv|value"
            ;;
    esac
    commands=${commands//$'\n'/ }
}

# Make the values of kind $1 the candidates; $2 is "argument" if it is no option's. Files are left to bash, which knows them better.
_glancectl_values() {
    local value what
    case "$1" in
        image-status) candidates=(active deactivated queued uploading saving importing killed
            pending_delete deleted) ;;
        image-column) candidates=(id name status visibility size virtual_size disk_format
            container_format min_disk min_ram protected os_hidden owner created_at updated_at tags
            checksum os_hash_algo os_hash_value stores) ;;
        member-column) candidates=(member_id status created_at updated_at image_id name) ;;
        tag-column) candidates=(tag images id name status tags) ;;
        task-column) candidates=(id type status owner created_at updated_at expires_at message
            input result image_id) ;;
        store-column) candidates=(id default read-only description type weight properties) ;;
        cache-column) candidates=(image_id state hits size last_accessed) ;;
        info-column) candidates=(versions import_methods stores formats usage) ;;
        auth-column) candidates=(cloud auth_url user project roles region endpoint expires_at
            cached sources) ;;
        sandbox-column) candidates=(keystone glance clouds state pids) ;;
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
