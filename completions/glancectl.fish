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
            case --cacert --checksum --cloud --color --column --connections --container-format --created-after --created-before --decompress --disk-format --endpoint --file --filter --for --format --hash --header --id --image --input --interface --interval --jobs --keep --limit --limit-rate --marker --match --max-size --member-status --method --min-disk --min-ram --name --older-than --owner --page-size --patch --prefer --progress --properties-file --property --region --remote-image --remote-interface --remote-region --remove-property --remove-tag --retire --retries --size --size-max --size-min --sort --sparse --status --store --stuck --tag --target --timeout --to-cloud --to-project --to-region --type --updated-after --updated-before --uri --visibility -c -f
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
            case --cloud --region --interface --endpoint --cacert --timeout --retries --progress --color
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

# glancectl
complete -c glancectl -n '__glancectl_after' -a image -d 'Create, upload, download and query images'
complete -c glancectl -n '__glancectl_after' -a member -d 'Share images with other projects, and answer what others share'
complete -c glancectl -n '__glancectl_after' -a tag -d 'List, add, remove and replace tags'
complete -c glancectl -n '__glancectl_after' -a task -d 'List, show, create and await tasks: imports, mostly'
complete -c glancectl -n '__glancectl_after' -a store -d 'List stores, and delete the copy of an image in one of them'
complete -c glancectl -n '__glancectl_after' -a cache -d 'See and steer the image cache (admin); each API host has its own'
complete -c glancectl -n '__glancectl_after' -a info -d 'Show versions, import methods, stores, formats, usage'
complete -c glancectl -n '__glancectl_after' -a auth -d 'See who you are, get a token, log out'
complete -c glancectl -n '__glancectl_after' -a sandbox -d 'Run a real Keystone and Glance on this machine, to try things and for CI'
complete -c glancectl -n '__glancectl_after' -a completion -d 'Print the script that completes glancectl\'s words in a shell'
complete -c glancectl -n '__glancectl_after' -l cloud -d 'Entry of clouds.yaml to use.' -x -a '(__glancectl_suggest cloud)'
complete -c glancectl -n '__glancectl_after' -l region -d 'Region of the catalogue.' -x
complete -c glancectl -n '__glancectl_after' -l interface -d 'public, internal or admin endpoint.' -x -a 'public internal admin'
complete -c glancectl -n '__glancectl_after' -l endpoint -d 'Image endpoint, not the catalogue\'s.' -x
complete -c glancectl -n '__glancectl_after' -l cacert -d 'CA that signed the certificates.' -r -F
complete -c glancectl -n '__glancectl_after' -l insecure -d 'Verify no certificate.'
complete -c glancectl -n '__glancectl_after' -l timeout -d 'Limit of one request.' -x
complete -c glancectl -n '__glancectl_after' -l retries -d 'Tries after the first.' -x
complete -c glancectl -n '__glancectl_after' -l progress -d 'auto, bar, plain, json or none.' -x -a 'auto bar plain json none'
complete -c glancectl -n '__glancectl_after' -l color -d 'Colours in tables: auto, always or never.' -x -a 'auto always never'
complete -c glancectl -n '__glancectl_after' -l no-pager -d 'No pager for long tables, as with GLANCECTL_PAGER=cat.'
complete -c glancectl -n '__glancectl_after' -l no-token-cache -d 'Log in afresh, store nothing.'
complete -c glancectl -n '__glancectl_after' -s v -l verbose -d 'Tell each step.'
complete -c glancectl -n '__glancectl_after' -l debug -d 'Tell each request, secrets left out.'
complete -c glancectl -n '__glancectl_after' -l version -d 'Show the version.'
complete -c glancectl -n '__glancectl_after' -s h -l help -d 'Show this help.'

# glancectl image
complete -c glancectl -n '__glancectl_after image' -a list -d 'List images: all that Glance shows by default, in its order'
complete -c glancectl -n '__glancectl_after image' -a show -d 'Show an image\'s record'
complete -c glancectl -n '__glancectl_after image' -a create -d 'Create an image from file, URL or stdin, or just a record'
complete -c glancectl -n '__glancectl_after image' -a delete -d 'Delete images for good'
complete -c glancectl -n '__glancectl_after image' -a upload -d 'Upload data into a reserved image'
complete -c glancectl -n '__glancectl_after image' -a stage -d 'Stage data for an import by glance-direct'
complete -c glancectl -n '__glancectl_after image' -a download -d 'Download an image\'s data, verified'
complete -c glancectl -n '__glancectl_after image' -a update -d 'Change records: the same change to each image'
complete -c glancectl -n '__glancectl_after image' -a activate -d 'Make the data of deactivated images readable again'
complete -c glancectl -n '__glancectl_after image' -a deactivate -d 'Make the data of images unreadable for all but admins'
complete -c glancectl -n '__glancectl_after image' -a import -d 'Have Glance fetch an image\'s data, or copy them to stores'
complete -c glancectl -n '__glancectl_after image' -a wait -d 'Wait until images have a status, or are gone'
complete -c glancectl -n '__glancectl_after image' -a verify -d 'Verify a file, or the data that the cloud has, against an image\'s record'
complete -c glancectl -n '__glancectl_after image' -a copy -d 'Copy images to another cloud, region or project, verified'
complete -c glancectl -n '__glancectl_after image' -a publish -d 'Make a name stand for this content: upload it if it is new, then retire older images'
complete -c glancectl -n '__glancectl_after image' -a apply -d 'Make the images of a catalogue what it says'
complete -c glancectl -n '__glancectl_after image' -a export -d 'Write a catalogue of your project\'s images for image apply, in YAML or JSON'
complete -c glancectl -n '__glancectl_after image' -a prune -d 'Delete images that are no longer wanted; without --yes, print which and why'
complete -c glancectl -n '__glancectl_after image' -a locations -d 'See where the data of an image are, or make a URL its data'
complete -c glancectl -n '__glancectl_after image' -s h -l help -d 'Show this help.'

# glancectl image list
complete -c glancectl -n '__glancectl_in image list' -l name -d 'Exact name.' -x
complete -c glancectl -n '__glancectl_in image list' -l match -d 'Name pattern like \'ubuntu-*\'.' -x
complete -c glancectl -n '__glancectl_in image list' -l status -d 'active, queued, deactivated, …' -x -a 'active deactivated queued uploading saving importing killed pending_delete deleted'
complete -c glancectl -n '__glancectl_in image list' -l visibility -d 'private, shared, community, public or all.' -x -a 'private shared community public all'
complete -c glancectl -n '__glancectl_in image list' -l owner -d 'Project id or name (admin).' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image list' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image list' -l tag -d 'A tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image list' -l property -d 'With this value. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image list' -l disk-format -d 'qcow2, raw, iso, …' -x -a '(__glancectl_suggest disk-format)'
complete -c glancectl -n '__glancectl_in image list' -l container-format -d 'bare, ova, …' -x -a '(__glancectl_suggest container-format)'
complete -c glancectl -n '__glancectl_in image list' -l member-status -d 'Of shared ones: accepted, pending, rejected or all.' -x -a 'accepted pending rejected all'
complete -c glancectl -n '__glancectl_in image list' -l hidden -d 'Hidden images only.'
complete -c glancectl -n '__glancectl_in image list' -l protected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image list' -l unprotected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image list' -l size-min -d 'Bytes, or as in 10M.' -x
complete -c glancectl -n '__glancectl_in image list' -l size-max -d 'Bytes, or as in 10M.' -x
complete -c glancectl -n '__glancectl_in image list' -l created-after -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image list' -l created-before -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image list' -l updated-after -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image list' -l updated-before -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image list' -l checksum -d 'MD5, os_hash_value of the data.' -x
complete -c glancectl -n '__glancectl_in image list' -l hash -d 'MD5, os_hash_value of the data.' -x
complete -c glancectl -n '__glancectl_in image list' -l id -d 'This image. Repeatable.' -x -a '(__glancectl_suggest image-id)'
complete -c glancectl -n '__glancectl_in image list' -l filter -d 'For Glance, as it is. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image list' -l sort -d 'Order, by Glance.' -x
complete -c glancectl -n '__glancectl_in image list' -l limit -d 'Images in all.' -x
complete -c glancectl -n '__glancectl_in image list' -l marker -d 'Begin after it.' -x -a '(__glancectl_suggest image-id)'
complete -c glancectl -n '__glancectl_in image list' -l page-size -d 'Images a request.' -x
complete -c glancectl -n '__glancectl_in image list' -l long -d 'More columns.'
complete -c glancectl -n '__glancectl_in image list' -l watch -d 'Go on: redraw on a terminal, else print what changes.'
complete -c glancectl -n '__glancectl_in image list' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in image list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image list' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image list' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image list' -s h -l help -d 'Show this help.'

# glancectl image show
complete -c glancectl -n '__glancectl_in image show' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image show' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image show' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image show' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image show' -a '(__glancectl_suggest_argument image)'

# glancectl image create
complete -c glancectl -n '__glancectl_in image create' -l file -d 'Path, URL, - for stdin. Without: just a record.' -r -F
complete -c glancectl -n '__glancectl_in image create' -l id -d 'Its id.' -x
complete -c glancectl -n '__glancectl_in image create' -l disk-format -d 'qcow2, raw, iso, …' -x -a '(__glancectl_suggest disk-format)'
complete -c glancectl -n '__glancectl_in image create' -l container-format -d 'bare, ova, …' -x -a '(__glancectl_suggest container-format)'
complete -c glancectl -n '__glancectl_in image create' -l min-disk -d 'Least disk and memory of a server.' -x
complete -c glancectl -n '__glancectl_in image create' -l min-ram -d 'Least disk and memory of a server.' -x
complete -c glancectl -n '__glancectl_in image create' -l visibility -d 'private, shared, community or public.' -x -a 'private shared community public'
complete -c glancectl -n '__glancectl_in image create' -l protected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image create' -l unprotected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image create' -l hidden -d 'Whether default lists leave it out.'
complete -c glancectl -n '__glancectl_in image create' -l visible -d 'Whether default lists leave it out.'
complete -c glancectl -n '__glancectl_in image create' -l owner -d 'Project id or name (admin).' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image create' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image create' -l tag -d 'A tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image create' -l property -d 'Custom property; K=@FILE reads its value. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image create' -l properties-file -d 'JSON or YAML mapping of properties.' -r -F
complete -c glancectl -n '__glancectl_in image create' -l keep-on-failure -d 'Keep the record when its data fail.'
complete -c glancectl -n '__glancectl_in image create' -l size -d 'Bytes to come, as in 512M.' -x
complete -c glancectl -n '__glancectl_in image create' -l max-size -d 'Refuse more data, unpacked, as in 20G.' -x
complete -c glancectl -n '__glancectl_in image create' -l checksum -d 'What the source must hash to, or what says it.' -r -F
complete -c glancectl -n '__glancectl_in image create' -l header -d 'Sent to a URL source.' -x
complete -c glancectl -n '__glancectl_in image create' -l decompress -d 'auto (default, when bare), none, gzip, bzip2, xz, zstd.' -x -a 'auto none gzip bzip2 xz zstd'
complete -c glancectl -n '__glancectl_in image create' -l store -d 'Where to store.' -x -a '(__glancectl_suggest store)'
complete -c glancectl -n '__glancectl_in image create' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image create' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image create' -l allow-empty -d 'Accept a source of 0 bytes.'
complete -c glancectl -n '__glancectl_in image create' -l no-sniff -d 'Do not look at the first bytes.'
complete -c glancectl -n '__glancectl_in image create' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image create' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image create' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image create' -s h -l help -d 'Show this help.'

# glancectl image delete
complete -c glancectl -n '__glancectl_in image delete' -s y -l yes -d 'Do not ask.'
complete -c glancectl -n '__glancectl_in image delete' -l if-exists -d 'Absent images are no failure.'
complete -c glancectl -n '__glancectl_in image delete' -l unprotect -d 'Lift the protection of protected ones.'
complete -c glancectl -n '__glancectl_in image delete' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image delete' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image delete' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image delete' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image delete' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ image delete' -a '(__glancectl_suggest_argument image)'

# glancectl image upload
complete -c glancectl -n '__glancectl_in image upload' -l size -d 'Bytes to come, as in 512M.' -x
complete -c glancectl -n '__glancectl_in image upload' -l max-size -d 'Refuse more data, unpacked, as in 20G.' -x
complete -c glancectl -n '__glancectl_in image upload' -l checksum -d 'What the source must hash to, or what says it.' -r -F
complete -c glancectl -n '__glancectl_in image upload' -l header -d 'Sent to a URL source.' -x
complete -c glancectl -n '__glancectl_in image upload' -l decompress -d 'auto (default, when bare), none, gzip, bzip2, xz, zstd.' -x -a 'auto none gzip bzip2 xz zstd'
complete -c glancectl -n '__glancectl_in image upload' -l store -d 'Where to store.' -x -a '(__glancectl_suggest store)'
complete -c glancectl -n '__glancectl_in image upload' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image upload' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image upload' -l allow-empty -d 'Accept a source of 0 bytes.'
complete -c glancectl -n '__glancectl_in image upload' -l no-sniff -d 'Do not look at the first bytes.'
complete -c glancectl -n '__glancectl_in image upload' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image upload' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image upload' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image upload' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image upload' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2 image upload' -F

# glancectl image stage
complete -c glancectl -n '__glancectl_in image stage' -l size -d 'Bytes to come, as in 512M.' -x
complete -c glancectl -n '__glancectl_in image stage' -l max-size -d 'Refuse more data, unpacked, as in 20G.' -x
complete -c glancectl -n '__glancectl_in image stage' -l checksum -d 'What the source must hash to, or what says it.' -r -F
complete -c glancectl -n '__glancectl_in image stage' -l header -d 'Sent to a URL source.' -x
complete -c glancectl -n '__glancectl_in image stage' -l decompress -d 'auto (default, when bare), none, gzip, bzip2, xz, zstd.' -x -a 'auto none gzip bzip2 xz zstd'
complete -c glancectl -n '__glancectl_in image stage' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image stage' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image stage' -l allow-empty -d 'Accept a source of 0 bytes.'
complete -c glancectl -n '__glancectl_in image stage' -l no-sniff -d 'Do not look at the first bytes.'
complete -c glancectl -n '__glancectl_in image stage' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image stage' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image stage' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image stage' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image stage' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2 image stage' -F

# glancectl image download
complete -c glancectl -n '__glancectl_in image download' -l overwrite -d 'Replace another file of that name.'
complete -c glancectl -n '__glancectl_in image download' -l no-resume -d 'Begin at the start, leave no .part behind.'
complete -c glancectl -n '__glancectl_in image download' -l connections -d 'Fetch parts of an image at once.' -x
complete -c glancectl -n '__glancectl_in image download' -l sparse -d 'Make holes of zeros in a raw image.' -x -a 'auto never'
complete -c glancectl -n '__glancectl_in image download' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image download' -l prefer -d 'Read from it if it can. Repeatable.' -x -a '(__glancectl_suggest store)'
complete -c glancectl -n '__glancectl_in image download' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image download' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image download' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image download' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image download' -s q -l quiet -d 'Print the path only.'
complete -c glancectl -n '__glancectl_in image download' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image download' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2+ image download' -F -a '(__glancectl_suggest_argument image)'

# glancectl image update
complete -c glancectl -n '__glancectl_in image update' -l name -d 'Any text.' -x
complete -c glancectl -n '__glancectl_in image update' -l disk-format -d 'qcow2, raw, iso, …' -x -a '(__glancectl_suggest disk-format)'
complete -c glancectl -n '__glancectl_in image update' -l container-format -d 'bare, ova, …' -x -a '(__glancectl_suggest container-format)'
complete -c glancectl -n '__glancectl_in image update' -l min-disk -d 'Least disk and memory of a server.' -x
complete -c glancectl -n '__glancectl_in image update' -l min-ram -d 'Least disk and memory of a server.' -x
complete -c glancectl -n '__glancectl_in image update' -l visibility -d 'private, shared, community or public.' -x -a 'private shared community public'
complete -c glancectl -n '__glancectl_in image update' -l protected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image update' -l unprotected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image update' -l hidden -d 'Whether default lists leave it out.'
complete -c glancectl -n '__glancectl_in image update' -l visible -d 'Whether default lists leave it out.'
complete -c glancectl -n '__glancectl_in image update' -l owner -d 'Project id or name (admin).' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image update' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image update' -l tag -d 'Add, remove a tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image update' -l remove-tag -d 'Add, remove a tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image update' -l property -d 'Custom property; K=@FILE reads its value. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image update' -l properties-file -d 'JSON or YAML mapping of properties.' -r -F
complete -c glancectl -n '__glancectl_in image update' -l remove-property -d 'Remove it. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image update' -l purge-properties -d 'Remove all properties but those given.'
complete -c glancectl -n '__glancectl_in image update' -l patch -d 'Send these RFC 6902 operations instead.' -r -F
complete -c glancectl -n '__glancectl_in image update' -l dry-run -d 'Print what would change, change nothing.'
complete -c glancectl -n '__glancectl_in image update' -l exit-code -d 'With --dry-run: exit 10 if anything would.'
complete -c glancectl -n '__glancectl_in image update' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image update' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image update' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image update' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image update' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ image update' -a '(__glancectl_suggest_argument image)'

# glancectl image activate
complete -c glancectl -n '__glancectl_in image activate' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image activate' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image activate' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image activate' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image activate' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ image activate' -a '(__glancectl_suggest_argument image)'

# glancectl image deactivate
complete -c glancectl -n '__glancectl_in image deactivate' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image deactivate' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image deactivate' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image deactivate' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image deactivate' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ image deactivate' -a '(__glancectl_suggest_argument image)'

# glancectl image import
complete -c glancectl -n '__glancectl_in image import' -l method -d 'web-download, glance-direct, copy-image, …' -x -a '(__glancectl_suggest import-method)'
complete -c glancectl -n '__glancectl_in image import' -l uri -d 'web-download: what Glance shall fetch.' -x
complete -c glancectl -n '__glancectl_in image import' -l file -d 'glance-direct: stage this first.' -r -F
complete -c glancectl -n '__glancectl_in image import' -l remote-region -d 'glance-download: from this region.' -x
complete -c glancectl -n '__glancectl_in image import' -l remote-image -d 'glance-download: its id there.' -x
complete -c glancectl -n '__glancectl_in image import' -l remote-interface -d 'glance-download: public, internal.' -x -a 'public internal admin'
complete -c glancectl -n '__glancectl_in image import' -l store -d 'Where to. Repeatable.' -x -a '(__glancectl_suggest store)'
complete -c glancectl -n '__glancectl_in image import' -l all-stores -d 'To all stores.'
complete -c glancectl -n '__glancectl_in image import' -l allow-failure -d 'Some of several stores may fail (exit 9).'
complete -c glancectl -n '__glancectl_in image import' -l wait -d 'Wait until it ends.'
complete -c glancectl -n '__glancectl_in image import' -l no-wait -d 'Wait until it ends.'
complete -c glancectl -n '__glancectl_in image import' -l timeout -d 'How long to wait at most.' -x
complete -c glancectl -n '__glancectl_in image import' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in image import' -l size -d 'Bytes to come, as in 512M.' -x
complete -c glancectl -n '__glancectl_in image import' -l max-size -d 'Refuse more data, unpacked, as in 20G.' -x
complete -c glancectl -n '__glancectl_in image import' -l checksum -d 'What the source must hash to, or what says it.' -r -F
complete -c glancectl -n '__glancectl_in image import' -l header -d 'Sent to a URL source.' -x
complete -c glancectl -n '__glancectl_in image import' -l decompress -d 'auto (default, when bare), none, gzip, bzip2, xz, zstd.' -x -a 'auto none gzip bzip2 xz zstd'
complete -c glancectl -n '__glancectl_in image import' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image import' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image import' -l allow-empty -d 'Accept a source of 0 bytes.'
complete -c glancectl -n '__glancectl_in image import' -l no-sniff -d 'Do not look at the first bytes.'
complete -c glancectl -n '__glancectl_in image import' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image import' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image import' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image import' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image import' -a '(__glancectl_suggest_argument image)'

# glancectl image wait
complete -c glancectl -n '__glancectl_in image wait' -l for -d 'active, …, or deleted: what to wait for.' -x -a 'active deactivated queued uploading saving importing deleted'
complete -c glancectl -n '__glancectl_in image wait' -l timeout -d 'How long to wait at most.' -x
complete -c glancectl -n '__glancectl_in image wait' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in image wait' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image wait' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image wait' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image wait' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ image wait' -a '(__glancectl_suggest_argument image)'

# glancectl image verify
complete -c glancectl -n '__glancectl_in image verify' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image verify' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image verify' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image verify' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image verify' -s q -l quiet -d 'Print ids only, of those that are ok.'
complete -c glancectl -n '__glancectl_in image verify' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image verify' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2 image verify' -F

# glancectl image copy
complete -c glancectl -n '__glancectl_in image copy' -l to-cloud -d 'To this entry of clouds.yaml.' -x -a '(__glancectl_suggest cloud)'
complete -c glancectl -n '__glancectl_in image copy' -l to-region -d 'To this region of the cloud.' -x
complete -c glancectl -n '__glancectl_in image copy' -l to-project -d 'To this project, with the same login.' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image copy' -l name -d 'Another name for the copy.' -x
complete -c glancectl -n '__glancectl_in image copy' -l visibility -d 'private, shared, community or public.' -x -a 'private shared community public'
complete -c glancectl -n '__glancectl_in image copy' -l protected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image copy' -l unprotected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image copy' -l members -d 'Share with whom the original is shared with.'
complete -c glancectl -n '__glancectl_in image copy' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image copy' -l if-missing -d 'Nothing is sent where an image has these data already.'
complete -c glancectl -n '__glancectl_in image copy' -l store -d 'Where to store.' -x -a '(__glancectl_suggest store)'
complete -c glancectl -n '__glancectl_in image copy' -l server-side -d 'Glance copies by itself: to a region, or to one more store.'
complete -c glancectl -n '__glancectl_in image copy' -l timeout -d 'How long to wait at most.' -x
complete -c glancectl -n '__glancectl_in image copy' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in image copy' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image copy' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image copy' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image copy' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image copy' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image copy' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ image copy' -a '(__glancectl_suggest_argument image)'

# glancectl image publish
complete -c glancectl -n '__glancectl_in image publish' -l retire -d 'Older ones: hide (default), deactivate, delete, none; N stay.' -x -a 'hide deactivate delete none'
complete -c glancectl -n '__glancectl_in image publish' -l keep -d 'Older ones: hide (default), deactivate, delete, none; N stay.' -x
complete -c glancectl -n '__glancectl_in image publish' -l dry-run -d 'Print what would be done, change nothing.'
complete -c glancectl -n '__glancectl_in image publish' -l disk-format -d 'qcow2, raw, iso, …' -x -a '(__glancectl_suggest disk-format)'
complete -c glancectl -n '__glancectl_in image publish' -l container-format -d 'bare, ova, …' -x -a '(__glancectl_suggest container-format)'
complete -c glancectl -n '__glancectl_in image publish' -l min-disk -d 'Least disk and memory of a server.' -x
complete -c glancectl -n '__glancectl_in image publish' -l min-ram -d 'Least disk and memory of a server.' -x
complete -c glancectl -n '__glancectl_in image publish' -l visibility -d 'private, shared, community or public.' -x -a 'private shared community public'
complete -c glancectl -n '__glancectl_in image publish' -l protected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image publish' -l unprotected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image publish' -l hidden -d 'Whether default lists leave it out.'
complete -c glancectl -n '__glancectl_in image publish' -l visible -d 'Whether default lists leave it out.'
complete -c glancectl -n '__glancectl_in image publish' -l owner -d 'Project id or name (admin).' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image publish' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image publish' -l tag -d 'A tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image publish' -l property -d 'Custom property; K=@FILE reads its value. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image publish' -l properties-file -d 'JSON or YAML mapping of properties.' -r -F
complete -c glancectl -n '__glancectl_in image publish' -l size -d 'Bytes to come, as in 512M.' -x
complete -c glancectl -n '__glancectl_in image publish' -l max-size -d 'Refuse more data, unpacked, as in 20G.' -x
complete -c glancectl -n '__glancectl_in image publish' -l checksum -d 'What the source must hash to, or what says it.' -r -F
complete -c glancectl -n '__glancectl_in image publish' -l header -d 'Sent to a URL source.' -x
complete -c glancectl -n '__glancectl_in image publish' -l decompress -d 'auto (default, when bare), none, gzip, bzip2, xz, zstd.' -x -a 'auto none gzip bzip2 xz zstd'
complete -c glancectl -n '__glancectl_in image publish' -l store -d 'Where to store.' -x -a '(__glancectl_suggest store)'
complete -c glancectl -n '__glancectl_in image publish' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image publish' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image publish' -l allow-empty -d 'Accept a source of 0 bytes.'
complete -c glancectl -n '__glancectl_in image publish' -l no-sniff -d 'Do not look at the first bytes.'
complete -c glancectl -n '__glancectl_in image publish' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image publish' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image publish' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image publish' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 2 image publish' -F

# glancectl image apply
complete -c glancectl -n '__glancectl_in image apply' -l prune -d 'Delete images that were created for it and have left it.'
complete -c glancectl -n '__glancectl_in image apply' -l dry-run -d 'Print what would change, change nothing.'
complete -c glancectl -n '__glancectl_in image apply' -l exit-code -d 'With --dry-run: exit 10 if anything would.'
complete -c glancectl -n '__glancectl_in image apply' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image apply' -l limit-rate -d 'Bytes a second, as in 20M.' -x
complete -c glancectl -n '__glancectl_in image apply' -l no-verify -d 'Do not compare size and digest at the end.'
complete -c glancectl -n '__glancectl_in image apply' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image apply' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image apply' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image apply' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image apply' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image apply' -F

# glancectl image export
complete -c glancectl -n '__glancectl_in image export' -l name -d 'Exact name.' -x
complete -c glancectl -n '__glancectl_in image export' -l match -d 'Name pattern like \'ubuntu-*\'.' -x
complete -c glancectl -n '__glancectl_in image export' -l status -d 'active, queued, deactivated, …' -x -a 'active deactivated queued uploading saving importing killed pending_delete deleted'
complete -c glancectl -n '__glancectl_in image export' -l visibility -d 'private, shared, community, public or all.' -x -a 'private shared community public all'
complete -c glancectl -n '__glancectl_in image export' -l owner -d 'Project id or name (admin).' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image export' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image export' -l tag -d 'A tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image export' -l property -d 'With this value. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image export' -l disk-format -d 'qcow2, raw, iso, …' -x -a '(__glancectl_suggest disk-format)'
complete -c glancectl -n '__glancectl_in image export' -l container-format -d 'bare, ova, …' -x -a '(__glancectl_suggest container-format)'
complete -c glancectl -n '__glancectl_in image export' -l member-status -d 'Of shared ones: accepted, pending, rejected or all.' -x -a 'accepted pending rejected all'
complete -c glancectl -n '__glancectl_in image export' -l hidden -d 'Hidden images only.'
complete -c glancectl -n '__glancectl_in image export' -l protected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image export' -l unprotected -d 'Whether it cannot be deleted.'
complete -c glancectl -n '__glancectl_in image export' -l size-min -d 'Bytes, or as in 10M.' -x
complete -c glancectl -n '__glancectl_in image export' -l size-max -d 'Bytes, or as in 10M.' -x
complete -c glancectl -n '__glancectl_in image export' -l created-after -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image export' -l created-before -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image export' -l updated-after -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image export' -l updated-before -d 'ISO 8601, UTC unless it says otherwise.' -x
complete -c glancectl -n '__glancectl_in image export' -l checksum -d 'MD5, os_hash_value of the data.' -x
complete -c glancectl -n '__glancectl_in image export' -l hash -d 'MD5, os_hash_value of the data.' -x
complete -c glancectl -n '__glancectl_in image export' -l id -d 'This image. Repeatable.' -x -a '(__glancectl_suggest image-id)'
complete -c glancectl -n '__glancectl_in image export' -l filter -d 'For Glance, as it is. Repeatable.' -x
complete -c glancectl -n '__glancectl_in image export' -l sort -d 'Order, by Glance.' -x
complete -c glancectl -n '__glancectl_in image export' -l limit -d 'Images in all.' -x
complete -c glancectl -n '__glancectl_in image export' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image export' -s f -l format -d 'yaml or json.' -x -a 'yaml json'
complete -c glancectl -n '__glancectl_in image export' -s q -l quiet -d 'No notes on stderr.'
complete -c glancectl -n '__glancectl_in image export' -s h -l help -d 'Show this help.'

# glancectl image prune
complete -c glancectl -n '__glancectl_in image prune' -l name -d 'Exact name.' -x
complete -c glancectl -n '__glancectl_in image prune' -l match -d 'Name pattern like \'ci-*\'.' -x
complete -c glancectl -n '__glancectl_in image prune' -l tag -d 'A tag. Repeatable.' -x -a '(__glancectl_suggest tag)'
complete -c glancectl -n '__glancectl_in image prune' -l older-than -d 'Age, as in 30d: s, m, h, d or w.' -x
complete -c glancectl -n '__glancectl_in image prune' -l keep -d 'Let the newest N active ones of each name stay, however old.' -x
complete -c glancectl -n '__glancectl_in image prune' -l stuck -d 'Only those never finished that have not changed for so long, as in 24h.' -x
complete -c glancectl -n '__glancectl_in image prune' -l owner -d 'Project id or name (admin).' -x -a '(__glancectl_suggest project)'
complete -c glancectl -n '__glancectl_in image prune' -l all-projects -d 'Those of all projects (admin).'
complete -c glancectl -n '__glancectl_in image prune' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in image prune' -s y -l yes -d 'Delete them.'
complete -c glancectl -n '__glancectl_in image prune' -l dry-run -d 'Print what would be deleted, as without --yes.'
complete -c glancectl -n '__glancectl_in image prune' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in image prune' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image prune' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image prune' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image prune' -s h -l help -d 'Show this help.'

# glancectl image locations
complete -c glancectl -n '__glancectl_after image locations' -a list -d 'List where an image\'s data are: URLs and stores (admin)'
complete -c glancectl -n '__glancectl_after image locations' -a add -d 'Make what a URL names an image\'s data, not copying them'
complete -c glancectl -n '__glancectl_after image locations' -s h -l help -d 'Show this help.'

# glancectl image locations list
complete -c glancectl -n '__glancectl_in image locations list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image locations list' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image locations list' -s q -l quiet -d 'Print URLs only.'
complete -c glancectl -n '__glancectl_in image locations list' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image locations list' -a '(__glancectl_suggest_argument image)'

# glancectl image locations add
complete -c glancectl -n '__glancectl_in image locations add' -l checksum -d 'What the source must hash to, or what says it.' -r -F
complete -c glancectl -n '__glancectl_in image locations add' -l wait -d 'Wait until it is done.'
complete -c glancectl -n '__glancectl_in image locations add' -l no-wait -d 'Wait until it is done.'
complete -c glancectl -n '__glancectl_in image locations add' -l timeout -d 'How long to wait at most.' -x
complete -c glancectl -n '__glancectl_in image locations add' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in image locations add' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in image locations add' -s c -l column -d 'Only this field; repeatable.' -x -a 'id name status visibility size virtual_size disk_format container_format min_disk min_ram protected os_hidden owner created_at updated_at tags checksum os_hash_algo os_hash_value stores'
complete -c glancectl -n '__glancectl_in image locations add' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in image locations add' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 image locations add' -a '(__glancectl_suggest_argument image)'

# glancectl member
complete -c glancectl -n '__glancectl_after member' -a list -d 'List the projects that an image is shared with'
complete -c glancectl -n '__glancectl_after member' -a show -d 'Show one project that an image is shared with, and its answer'
complete -c glancectl -n '__glancectl_after member' -a add -d 'Share an image with projects'
complete -c glancectl -n '__glancectl_after member' -a update -d 'Set the answer of your own project, or of any as admin'
complete -c glancectl -n '__glancectl_after member' -a accept -d 'Accept an image for your own project, into its lists'
complete -c glancectl -n '__glancectl_after member' -a reject -d 'Reject an image for your own project, out of its lists'
complete -c glancectl -n '__glancectl_after member' -a remove -d 'Share an image with projects no longer'
complete -c glancectl -n '__glancectl_after member' -a inbox -d 'List what others offer you and you have not answered'
complete -c glancectl -n '__glancectl_after member' -s h -l help -d 'Show this help.'

# glancectl member list
complete -c glancectl -n '__glancectl_in member list' -l status -d 'accepted, rejected or pending.' -x -a 'accepted rejected pending'
complete -c glancectl -n '__glancectl_in member list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member list' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member list' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member list' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member list' -a '(__glancectl_suggest_argument image)'

# glancectl member show
complete -c glancectl -n '__glancectl_in member show' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in member show' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member show' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member show' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member show' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member show' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2 member show' -a '(__glancectl_suggest_argument project)'

# glancectl member add
complete -c glancectl -n '__glancectl_in member add' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in member add' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member add' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member add' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member add' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member add' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2+ member add' -a '(__glancectl_suggest_argument project)'

# glancectl member update
complete -c glancectl -n '__glancectl_in member update' -l status -d 'accepted, rejected or pending.' -x -a 'accepted rejected pending'
complete -c glancectl -n '__glancectl_in member update' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in member update' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member update' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member update' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member update' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member update' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2 member update' -a '(__glancectl_suggest_argument project)'

# glancectl member accept
complete -c glancectl -n '__glancectl_in member accept' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member accept' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member accept' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member accept' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member accept' -a '(__glancectl_suggest_argument image)'

# glancectl member reject
complete -c glancectl -n '__glancectl_in member reject' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member reject' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member reject' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member reject' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member reject' -a '(__glancectl_suggest_argument image)'

# glancectl member remove
complete -c glancectl -n '__glancectl_in member remove' -l no-check -d 'Do not ask Keystone whether a project exists.'
complete -c glancectl -n '__glancectl_in member remove' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member remove' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member remove' -s q -l quiet -d 'Print project ids only.'
complete -c glancectl -n '__glancectl_in member remove' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 member remove' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2+ member remove' -a '(__glancectl_suggest_argument project)'

# glancectl member inbox
complete -c glancectl -n '__glancectl_in member inbox' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in member inbox' -s c -l column -d 'Only this field; repeatable.' -x -a 'member_id status created_at updated_at image_id name'
complete -c glancectl -n '__glancectl_in member inbox' -s q -l quiet -d 'Print image ids only.'
complete -c glancectl -n '__glancectl_in member inbox' -s h -l help -d 'Show this help.'

# glancectl tag
complete -c glancectl -n '__glancectl_after tag' -a list -d 'List the tags of an image, or all and how many have each'
complete -c glancectl -n '__glancectl_after tag' -a add -d 'Add tags to an image'
complete -c glancectl -n '__glancectl_after tag' -a remove -d 'Remove tags from an image'
complete -c glancectl -n '__glancectl_after tag' -a replace -d 'Give an image these tags and no others'
complete -c glancectl -n '__glancectl_after tag' -s h -l help -d 'Show this help.'

# glancectl tag list
complete -c glancectl -n '__glancectl_in tag list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in tag list' -s c -l column -d 'Only this field; repeatable.' -x -a 'tag images id name status tags'
complete -c glancectl -n '__glancectl_in tag list' -s q -l quiet -d 'Print tags only.'
complete -c glancectl -n '__glancectl_in tag list' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 tag list' -a '(__glancectl_suggest_argument image)'

# glancectl tag add
complete -c glancectl -n '__glancectl_in tag add' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in tag add' -s c -l column -d 'Only this field; repeatable.' -x -a 'tag images id name status tags'
complete -c glancectl -n '__glancectl_in tag add' -s q -l quiet -d 'Print tags only.'
complete -c glancectl -n '__glancectl_in tag add' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 tag add' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2+ tag add' -a '(__glancectl_suggest_argument tag)'

# glancectl tag remove
complete -c glancectl -n '__glancectl_in tag remove' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in tag remove' -s c -l column -d 'Only this field; repeatable.' -x -a 'tag images id name status tags'
complete -c glancectl -n '__glancectl_in tag remove' -s q -l quiet -d 'Print tags only.'
complete -c glancectl -n '__glancectl_in tag remove' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 tag remove' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2+ tag remove' -a '(__glancectl_suggest_argument tag)'

# glancectl tag replace
complete -c glancectl -n '__glancectl_in tag replace' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in tag replace' -s c -l column -d 'Only this field; repeatable.' -x -a 'tag images id name status tags'
complete -c glancectl -n '__glancectl_in tag replace' -s q -l quiet -d 'Print tags only.'
complete -c glancectl -n '__glancectl_in tag replace' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 tag replace' -a '(__glancectl_suggest_argument image)'
complete -c glancectl -n '__glancectl_argument 2+ tag replace' -a '(__glancectl_suggest_argument tag)'

# glancectl task
complete -c glancectl -n '__glancectl_after task' -a list -d 'List the tasks of the cloud, or of one image'
complete -c glancectl -n '__glancectl_after task' -a show -d 'Show a task, its input, result and message'
complete -c glancectl -n '__glancectl_after task' -a create -d 'Create a task (admin)'
complete -c glancectl -n '__glancectl_after task' -a wait -d 'Wait until a task has ended'
complete -c glancectl -n '__glancectl_after task' -s h -l help -d 'Show this help.'

# glancectl task list
complete -c glancectl -n '__glancectl_in task list' -l image -d 'Its tasks only: needs no admin.' -x -a '(__glancectl_suggest image)'
complete -c glancectl -n '__glancectl_in task list' -l status -d 'pending, processing, success or failure.' -x -a 'pending processing success failure'
complete -c glancectl -n '__glancectl_in task list' -l type -d 'import, api_image_import, location_import, …' -x
complete -c glancectl -n '__glancectl_in task list' -l id -d 'Only this one.' -x -a '(__glancectl_suggest task-id)'
complete -c glancectl -n '__glancectl_in task list' -l filter -d 'A key has this value. Repeatable.' -x
complete -c glancectl -n '__glancectl_in task list' -l sort -d 'Default: newest first.' -x
complete -c glancectl -n '__glancectl_in task list' -l limit -d 'Tasks in all.' -x
complete -c glancectl -n '__glancectl_in task list' -l watch -d 'Go on: redraw on a terminal, else print what changes.'
complete -c glancectl -n '__glancectl_in task list' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in task list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in task list' -s c -l column -d 'Only this field; repeatable.' -x -a 'id type status owner created_at updated_at expires_at message input result image_id'
complete -c glancectl -n '__glancectl_in task list' -s q -l quiet -d 'Print task ids only.'
complete -c glancectl -n '__glancectl_in task list' -s h -l help -d 'Show this help.'

# glancectl task show
complete -c glancectl -n '__glancectl_in task show' -l image -d 'Whose it is: needs no admin.' -x -a '(__glancectl_suggest image)'
complete -c glancectl -n '__glancectl_in task show' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in task show' -s c -l column -d 'Only this field; repeatable.' -x -a 'id type status owner created_at updated_at expires_at message input result image_id'
complete -c glancectl -n '__glancectl_in task show' -s q -l quiet -d 'Print task ids only.'
complete -c glancectl -n '__glancectl_in task show' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 task show' -a '(__glancectl_suggest_argument task-id)'

# glancectl task create
complete -c glancectl -n '__glancectl_in task create' -l type -d 'What Glance shall do: import.' -x
complete -c glancectl -n '__glancectl_in task create' -l input -d 'What the task needs.' -x -a '(__glancectl_at_files)'
complete -c glancectl -n '__glancectl_in task create' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in task create' -s c -l column -d 'Only this field; repeatable.' -x -a 'id type status owner created_at updated_at expires_at message input result image_id'
complete -c glancectl -n '__glancectl_in task create' -s q -l quiet -d 'Print task ids only.'
complete -c glancectl -n '__glancectl_in task create' -s h -l help -d 'Show this help.'

# glancectl task wait
complete -c glancectl -n '__glancectl_in task wait' -l image -d 'Whose it is: needs no admin.' -x -a '(__glancectl_suggest image)'
complete -c glancectl -n '__glancectl_in task wait' -l timeout -d 'How long to wait at most.' -x
complete -c glancectl -n '__glancectl_in task wait' -l interval -d 'Pause between two looks.' -x
complete -c glancectl -n '__glancectl_in task wait' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in task wait' -s c -l column -d 'Only this field; repeatable.' -x -a 'id type status owner created_at updated_at expires_at message input result image_id'
complete -c glancectl -n '__glancectl_in task wait' -s q -l quiet -d 'Print task ids only.'
complete -c glancectl -n '__glancectl_in task wait' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 task wait' -a '(__glancectl_suggest_argument task-id)'

# glancectl store
complete -c glancectl -n '__glancectl_after store' -a list -d 'List the stores of this cloud'
complete -c glancectl -n '__glancectl_after store' -a delete -d 'Delete the copy of an image in one store (admin)'
complete -c glancectl -n '__glancectl_after store' -s h -l help -d 'Show this help.'

# glancectl store list
complete -c glancectl -n '__glancectl_in store list' -l detail -d 'Types and properties too (admin).'
complete -c glancectl -n '__glancectl_in store list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in store list' -s c -l column -d 'Only this field; repeatable.' -x -a 'id default read-only description type weight properties'
complete -c glancectl -n '__glancectl_in store list' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in store list' -s h -l help -d 'Show this help.'

# glancectl store delete
complete -c glancectl -n '__glancectl_in store delete' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in store delete' -s c -l column -d 'Only this field; repeatable.' -x -a 'id default read-only description type weight properties'
complete -c glancectl -n '__glancectl_in store delete' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in store delete' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 store delete' -a '(__glancectl_suggest_argument store)'
complete -c glancectl -n '__glancectl_argument 2 store delete' -a '(__glancectl_suggest_argument image)'

# glancectl cache
complete -c glancectl -n '__glancectl_after cache' -a list -d 'List what is cached, and what is queued to be'
complete -c glancectl -n '__glancectl_after cache' -a queue -d 'Have active images cached'
complete -c glancectl -n '__glancectl_after cache' -a delete -d 'Drop images from the cache and its queue; they stay'
complete -c glancectl -n '__glancectl_after cache' -a clear -d 'Empty the cache, its queue, or both'
complete -c glancectl -n '__glancectl_after cache' -a clean -d 'Drop what is stale or invalid from the cache'
complete -c glancectl -n '__glancectl_after cache' -a prune -d 'Shrink the cache to its limit, and show what went'
complete -c glancectl -n '__glancectl_after cache' -a nodes -d 'List the API hosts that have an image in their cache'
complete -c glancectl -n '__glancectl_after cache' -s h -l help -d 'Show this help.'

# glancectl cache list
complete -c glancectl -n '__glancectl_in cache list' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache list' -s c -l column -d 'Only this field; repeatable.' -x -a 'image_id state hits size last_accessed'
complete -c glancectl -n '__glancectl_in cache list' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in cache list' -s h -l help -d 'Show this help.'

# glancectl cache queue
complete -c glancectl -n '__glancectl_in cache queue' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in cache queue' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache queue' -s c -l column -d 'Only this field; repeatable.' -x -a 'image_id state hits size last_accessed'
complete -c glancectl -n '__glancectl_in cache queue' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in cache queue' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ cache queue' -a '(__glancectl_suggest_argument image)'

# glancectl cache delete
complete -c glancectl -n '__glancectl_in cache delete' -l jobs -d 'Images at once.' -x
complete -c glancectl -n '__glancectl_in cache delete' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache delete' -s c -l column -d 'Only this field; repeatable.' -x -a 'image_id state hits size last_accessed'
complete -c glancectl -n '__glancectl_in cache delete' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in cache delete' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1+ cache delete' -a '(__glancectl_suggest_argument image)'

# glancectl cache clear
complete -c glancectl -n '__glancectl_in cache clear' -l target -d 'What shall be empty.' -x -a 'cache queue both'
complete -c glancectl -n '__glancectl_in cache clear' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache clear' -s h -l help -d 'Show this help.'

# glancectl cache clean
complete -c glancectl -n '__glancectl_in cache clean' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache clean' -s h -l help -d 'Show this help.'

# glancectl cache prune
complete -c glancectl -n '__glancectl_in cache prune' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache prune' -s c -l column -d 'Only this field; repeatable.' -x -a 'image_id state hits size last_accessed'
complete -c glancectl -n '__glancectl_in cache prune' -s h -l help -d 'Show this help.'

# glancectl cache nodes
complete -c glancectl -n '__glancectl_in cache nodes' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in cache nodes' -s c -l column -d 'Only this field; repeatable.' -x -a 'image_id state hits size last_accessed'
complete -c glancectl -n '__glancectl_in cache nodes' -s q -l quiet -d 'Print URLs only.'
complete -c glancectl -n '__glancectl_in cache nodes' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 cache nodes' -a '(__glancectl_suggest_argument image)'

# glancectl info
complete -c glancectl -n '__glancectl_in info' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in info' -s c -l column -d 'Only this field; repeatable.' -x -a 'versions import_methods stores formats usage'
complete -c glancectl -n '__glancectl_in info' -s h -l help -d 'Show this help.'

# glancectl auth
complete -c glancectl -n '__glancectl_after auth' -a status -d 'Show who is logged in, where, until when'
complete -c glancectl -n '__glancectl_after auth' -a token -d 'Print a token for curl and other tools'
complete -c glancectl -n '__glancectl_after auth' -a logout -d 'Forget the cached token and have Keystone revoke it'
complete -c glancectl -n '__glancectl_after auth' -s h -l help -d 'Show this help.'

# glancectl auth status
complete -c glancectl -n '__glancectl_in auth status' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in auth status' -s c -l column -d 'Only this field; repeatable.' -x -a 'cloud auth_url user project roles region endpoint expires_at cached sources'
complete -c glancectl -n '__glancectl_in auth status' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in auth status' -s h -l help -d 'Show this help.'

# glancectl auth token
complete -c glancectl -n '__glancectl_in auth token' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in auth token' -s h -l help -d 'Show this help.'

# glancectl auth logout
complete -c glancectl -n '__glancectl_in auth logout' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in auth logout' -s h -l help -d 'Show this help.'

# glancectl sandbox
complete -c glancectl -n '__glancectl_after sandbox' -a up -d 'Start the sandbox, or find it running; adds the clouds sandbox, -admin and -other'
complete -c glancectl -n '__glancectl_after sandbox' -a down -d 'Stop the sandbox; its images are kept for the next up'
complete -c glancectl -n '__glancectl_after sandbox' -a status -d 'Show where the running sandbox answers'
complete -c glancectl -n '__glancectl_after sandbox' -a env -d 'Print shell exports of OS_* variables for other clients'
complete -c glancectl -n '__glancectl_after sandbox' -a run -d 'Give a command a sandbox (OS_CLOUD=sandbox) and take it down after'
complete -c glancectl -n '__glancectl_after sandbox' -a demo -d 'Walk the main job: create, list, show, download, compare, delete'
complete -c glancectl -n '__glancectl_after sandbox' -s h -l help -d 'Show this help.'

# glancectl sandbox up
complete -c glancectl -n '__glancectl_in sandbox up' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in sandbox up' -s c -l column -d 'Only this field; repeatable.' -x -a 'keystone glance clouds state pids'
complete -c glancectl -n '__glancectl_in sandbox up' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in sandbox up' -s h -l help -d 'Show this help.'

# glancectl sandbox down
complete -c glancectl -n '__glancectl_in sandbox down' -l purge -d 'Forget its images and users too.'
complete -c glancectl -n '__glancectl_in sandbox down' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in sandbox down' -s h -l help -d 'Show this help.'

# glancectl sandbox status
complete -c glancectl -n '__glancectl_in sandbox status' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in sandbox status' -s c -l column -d 'Only this field; repeatable.' -x -a 'keystone glance clouds state pids'
complete -c glancectl -n '__glancectl_in sandbox status' -s q -l quiet -d 'Print ids only.'
complete -c glancectl -n '__glancectl_in sandbox status' -s h -l help -d 'Show this help.'

# glancectl sandbox env
complete -c glancectl -n '__glancectl_in sandbox env' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in sandbox env' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 sandbox env' -a '(__glancectl_suggest_argument cloud)'

# glancectl sandbox run
complete -c glancectl -n '__glancectl_in sandbox run' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in sandbox run' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 sandbox run' -a '(__fish_complete_command)'
complete -c glancectl -n '__glancectl_argument 2+ sandbox run' -F

# glancectl sandbox demo
complete -c glancectl -n '__glancectl_in sandbox demo' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in sandbox demo' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 sandbox demo' -F

# glancectl completion
complete -c glancectl -n '__glancectl_in completion' -s f -l format -d 'table, tsv, json, jsonl, yaml, csv, value.' -x -a 'table tsv json jsonl yaml csv value'
complete -c glancectl -n '__glancectl_in completion' -s h -l help -d 'Show this help.'
complete -c glancectl -n '__glancectl_argument 1 completion' -a 'bash zsh fish'
