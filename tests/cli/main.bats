#!/usr/bin/env bats
# main.bats - `stoa` itself: usage, version, help, a word it does not know.
load lib

@test "stoa alone prints a usage of one screen, on standard error, and exits 2" {
    run --separate-stderr -2 "$STOA"
    is "standard output" "$output" ""
    has "$stderr" "stoa serve"
    has "$stderr" "stoa connect"
    [ "${#stderr_lines[@]}" -lt 24 ]
}

@test "help and --help print it on standard output and exit 0" {
    for word in help --help -h; do
        run --separate-stderr -0 "$STOA" "$word"
        has "$output" "stoa connect"
        is "standard error" "$stderr" ""
    done
}

@test "help COMMAND is COMMAND --help" {
    for command in serve connect sim; do
        is help "$("$STOA" help $command)" "$("$STOA" $command --help)"
        is -h "$("$STOA" $command -h)" "$("$STOA" $command --help)"
    done
}

@test "help of a word that is no command exits 2" {
    refused 2 "no command \"sing\"" help sing
}

@test "every --help tells the exit codes, in lines of 80 columns" {
    for command in serve connect sim; do
        run -0 "$STOA" "$command" --help
        has "$output" "3 name not resolved"
        has "$output" "8 bind failed"
        [ "$(awk 'length > 80' <<<"$output")" = "" ]
    done
}

@test "--version tells the library's version" {
    run -0 "$STOA" --version
    [[ $output =~ ^stoa\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
    is "serve --version" "$("$STOA" serve --version)" "$output"
}

@test "an unknown word gets the nearest command proposed" {
    refused 2 "did you mean 'serve'?" serv
    refused 2 "did you mean 'serve'?" sevre
    refused 2 "did you mean 'connect'?" conect
    refused 2 "did you mean 'connect'?" connects
}

@test "a word like none gets all commands proposed" {
    refused 2 "serve, connect, sim, bench, doctor and top are" xyzzy
    refused 2 "serve, connect, sim, bench, doctor and top are" ""
    refused 2 "serve, connect, sim, bench, doctor and top are" "$(printf 'x%.0s' {1..5000})"
}

@test "with its standard descriptors closed it still tells sockets from files" {
    serve upper 127.0.0.1:0
    run -0 bash -c "printf 'hi\n' | '$STOA' connect '$ADDR' 2>&-"
    is answer "$output" HI
    run -1 bash -c "printf 'hi\n' | '$STOA' connect '$ADDR' >&-"
    has "$output" "write standard output: Bad file descriptor"
    run -0 bash -c "'$STOA' connect '$ADDR' <&-"
}

# --- completions -----------------------------------------------------------------

# offers WORD...: what bash completes these words to.
offers() {
    COMP_WORDS=(stoa "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _stoa
    echo "${COMPREPLY[*]}"
}

@test "bash completes commands, options and handlers" {
    eval "$("$STOA" --completion bash)"
    is command "$(offers conn)" connect
    is option "$(offers serve --ti)" --timeout
    is "another command's option" "$(offers connect --w)" --wait
    is handler "$(offers serve --quiet up)" upper
}

# options COMMAND: those that its --help tells, but for help's own.
options() {
    "$STOA" "$1" --help | grep -oE '^ {2,6}-.*' | grep -oE '^ +(-[^-]\b)?(, )?(--[a-z-]+)?' |
        grep -oE -- '--[a-z-]+|-[a-zA-Z0-9]\b' | grep -vxE -- '--help|--usage|--version|-V'
}

@test "every option of --help is completed, in every shell" {
    is "serve's options" "$(options serve | wc -w)" 23
    is "connect's options" "$(options connect | wc -w)" 17
    for shell in bash fish zsh; do "$STOA" --completion "$shell" >"$shell"; done
    is "top's options" "$(options top | wc -w)" 3
    for command in serve connect top; do
        for option in $(options $command); do
            grep -q -- "$command).* $option\b" bash
            grep -q -- "'$option[+=]*\[" zsh
            case $option in
            --*) grep -q -- " $command'.* -l ${option#--} " fish ;;
            *) grep -q -- " $command'.* -s ${option#-} " fish ;;
            esac || return 1
        done
    done
}

@test "the completions are programs that their shells can read" {
    bash -n <("$STOA" --completion bash)
    if command -v zsh; then zsh -n <("$STOA" --completion zsh); fi
    if command -v fish; then "$STOA" --completion fish | fish -n; fi
    refused 2 "for bash, fish or zsh" --completion
    refused 2 "for bash, fish or zsh" --completion csh
}

@test "what help and version say must be written, too" {
    for words in --help --version "serve --help" "connect -V" "help sim" "--completion bash"; do
        # shellcheck disable=SC2086 # words on purpose
        run --separate-stderr -1 bash -c "'$STOA' $words >/dev/full"
        is "error of $words" "$stderr" "stoa: write standard output: No space left on device"
        # Nobody reads it: that is no failure.
        run -0 bash -c "'$STOA' $words | head -0; exit \${PIPESTATUS[0]}"
    done
}
