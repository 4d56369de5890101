#compdef zkelect
# Completion of zkelect in zsh: zkelect itself says what a word can be.

_zkelect() {
	local zkelect=${(Q)words[1]} line value
	local -a answer values shown folders folders_shown
	(( $+commands[$zkelect] )) || [[ -x $zkelect ]] || zkelect=zkelect
	answer=("${(@f)$(command "$zkelect" __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
	case $answer[1] in
	(files*)
		value=${answer[1]#files}
		compset -p ${#${value# }}
		_files
		;;
	(command*)
		integer first=$(( ${answer[1]#command } + 2 ))
		words=("${(@)words[first,-1]}")
		(( CURRENT -= first - 1 ))
		_normal
		;;
	(words)
		for line in "${(@)answer[2,-1]}"; do
			value=${line%%$'\t'*}
			if [[ $value == */ ]]; then
				folders+=("$value") folders_shown+=("${line/$'\t'/  -- }")
			else
				values+=("$value") shown+=("${line/$'\t'/  -- }")
			fi
		done
		# A folder has more below, so no space follows it.
		compadd -l -V zkelect -d shown -a values
		compadd -l -V zkelect -S '' -d folders_shown -a folders
		;;
	esac
}

# As a file in $fpath this is the function's body; sourced, it defines it.
if [[ $funcstack[1] == _zkelect ]]; then
	_zkelect "$@"
else
	compdef _zkelect zkelect
fi
