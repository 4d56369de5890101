# shellcheck shell=bash
# Completion of zkelect in bash: zkelect itself says what a word can be.

_zkelect() {
	# bash breaks words at : and =, which are in ids and in --flag=value, so they
	# are put together again; starts has where in COMP_WORDS each begins.
	local rest=${COMP_LINE:0:COMP_POINT} zkelect=$1 i
	local -a words=() starts=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
			rest=${rest#"${rest%%[![:space:]]*}"}
			words+=('') starts+=("$i")
		fi
		if ((i == COMP_CWORD)); then
			words[-1]+=$rest # up to the cursor
		else
			words[-1]+=${COMP_WORDS[i]}
			rest=${rest#"${COMP_WORDS[i]}"}
		fi
	done
	type -P -- "$zkelect" >/dev/null || zkelect=zkelect

	local -a answer=()
	mapfile -t answer < <(command "$zkelect" __complete bash "${words[@]:1}" 2>/dev/null </dev/null)
	COMPREPLY=()
	case ${answer[0]-} in
	files*)
		compopt -o default # of readline, since there are no words
		;;
	command*)
		i=$((${answer[0]#command } + 1))
		if ((i < ${#words[@]} - 1)); then
			if declare -F _comp_command_offset >/dev/null; then
				_comp_command_offset "${starts[i]}"
			elif declare -F _command_offset >/dev/null; then
				_command_offset "${starts[i]}"
			else
				compopt -o default
			fi
		else
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -c -- "$2" | sort -u)
		fi
		;;
	words)
		# What of the word stands before the part that bash replaces.
		local before=${words[-1]%"$2"} value
		before=${before//[\"\'\\]/}
		for value in "${answer[@]:1}"; do
			value=${value%%$'\t'*}
			value=${value#"$before"}
			[[ ${words[-1]} == *[\"\']* ]] || printf -v value %q "$value"
			COMPREPLY+=("$value")
		done
		if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == */ ]]; then
			compopt -o nospace # there is more below
		fi
		;;
	esac
}

complete -F _zkelect zkelect
