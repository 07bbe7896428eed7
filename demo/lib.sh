# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
#
# What the steps of run.sh are made of: showing and checking commands, the
# namespaces, and leaving nothing behind.

work='' host='' lan='' daemon='' lan_server=''
sandboxes=()

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
	bold='' dim='' plain=''
fi

say() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }

fail() {
	printf '\n%sdemo: %s%s\n' "$bold" "$*" "$plain" >&2
	if [[ -n $work && -s $work/daemon.log ]]; then
		printf 'The daemon said last:\n' >&2
		tail -n 20 "$work/daemon.log" >&2
	fi
	exit 1
}

# --- commands that are shown ------------------------------------------------

# exec_in is for the background: the command becomes $! itself, and Ctrl-C, which
# clean_up has to come after, doesn't reach it.
exec_in() { exec setsid nsenter --net="/run/netns/$1" -- "${@:2}"; }

in_ns() { nsenter --net="/run/netns/$1" -- "${@:2}"; }

fairway() { "$fairway" "$@"; }

# shown WHERE COMMAND...: prints the command as the one who types it sees it.
shown() {
	local word line=''
	for word in "${@:2}"; do
		[[ $word != *[[:space:]]* ]] || word="'$word'"
		line+=" $word"
	done
	printf '%s%s$%s%s\n' "$dim" "$1" "$line" "$plain"
}

# run_step WANT WHERE COMMAND...: runs it; WANT is ok, error, or report for one that
# exits with 1 for warnings.
run_step() {
	local want=$1 where=$2 status=0
	shift 2
	shown "$where" "$@"
	case $where in
	host) if [[ $1 == fairway ]]; then fairway "${@:2}"; else in_ns "$host" "$@"; fi ;;
	lan) in_ns "$lan" "$@" ;;
	esac >"$work/out" 2>"$work/err" || status=$?
	sed '/./!d; s/^/    /' "$work/out" "$work/err"
	case $want:$status in
	ok:0 | error:[1-9]* | report:[01]) ;;
	ok:* | report:*) fail "exit code $status of: ${*}" ;;
	error:*) fail "should have been refused: ${*}" ;;
	esac
}

step() { run_step ok host "$@"; }
step_report() { run_step report host "$@"; }
step_host() { run_step ok host "$@"; }
step_lan() { run_step ok lan "$@"; }
step_fails() { run_step error host "$@"; }
step_lan_fails() { run_step error lan "$@"; }

# expect PATTERN: of the last step's output.
expect() { grep -Eq "$1" "$work/out" || fail "the output has nothing like: $1"; }

# until_true WHAT COMMAND...: repeats it until it succeeds, for 20 s at most.
until_true() {
	local what=$1 deadline=$((SECONDS + 20))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || fail "waited 20 s in vain until $what"
		[[ -z $daemon ]] || kill -0 "$daemon" 2>/dev/null || fail "the daemon ended"
		sleep 0.1
	done
}

# counters prints NAME NUMBER lines from the datapath.
counters() {
	"$fairway" status --format \
		'{{range $path, $c := .Stats.Forwarded}}{{printf "packets_forwarded_by_%s" $path}} {{println $c.Packets}}{{end}}{{range .Stats.Programs}}{{printf "runs_of_%s" .Name}} {{println .Runs}}{{end}}' |
		sed '/^$/d'
}

# --- the world --------------------------------------------------------------

install_missing() {
	local packages=() entry
	for entry in ip:iproute2 nginx:nginx-light curl:curl nsenter:util-linux make:make; do
		command -v "${entry%%:*}" >/dev/null || packages+=("${entry#*:}")
	done
	command -v cc >/dev/null || packages+=(gcc libc6-dev)
	if [[ $mode == iptables ]] && ! command -v iptables >/dev/null; then
		packages+=(iptables)
	fi
	((${#packages[@]})) || return 0
	command -v apt-get >/dev/null || fail "please install: ${packages[*]}"
	echo "installing ${packages[*]}"
	local sudo=()
	((EUID == 0)) || sudo=(sudo)
	# The package would start nginx on the machine's own port 80; the demo doesn't
	# want that, and neither does who runs it.
	"${sudo[@]}" sh -c '
		set -e
		policy=/usr/sbin/policy-rc.d
		if [ ! -e $policy ]; then
			trap "rm -f $policy" EXIT
			printf "#!/bin/sh\nexit 101\n" >$policy && chmod 755 $policy
		fi
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
	' sh "${packages[@]}"
}

as_root() {
	((EUID != 0)) || return 0
	command -v sudo >/dev/null || fail "needs root: network namespaces and eBPF programs"
	exec sudo env DEMO_MODE="$mode" DEMO_FAIRWAY="$fairway" bash "$repo/demo/run.sh"
}

begin() {
	set -E
	trap 'fail "line $LINENO went wrong: $BASH_COMMAND"' ERR
	work=$(mktemp -d /tmp/fairway-demo.XXXXXX)
	# Names that nobody else has, so that demos and daemons can run side by side.
	host=fwdemo-${work##*.}-host lan=fwdemo-${work##*.}-lan
	export FAIRWAY_SOCKET=$work/run/fairway.sock
	trap 'clean_up $?' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

address() {
	ip -n "$1" link set lo up
	ip -n "$1" addr add "$2/24" dev eth0
	ip -n "$1" link set eth0 up
}

# write_nginx DIR PORT TITLE: a page at /, and what the server knows of who asks at /client.
write_nginx() {
	mkdir -p "$1"
	chmod 755 "$work" "$1"
	echo "$3" >"$1/index.html"
	cat >"$1/nginx.conf" <<END
daemon off;
user root;
pid $1/nginx.pid;
error_log stderr;
worker_processes 1;
events {}
http {
	access_log off;
	client_body_temp_path $1/body;
	proxy_temp_path $1/proxy;
	fastcgi_temp_path $1/fastcgi;
	uwsgi_temp_path $1/uwsgi;
	scgi_temp_path $1/scgi;
	server {
		listen $2;
		root $1;
		location = /client { default_type text/plain; return 200 "\$remote_addr\n"; }
	}
}
END
}

# --- leaving nothing behind -------------------------------------------------

# uninstall asks the daemon, or does it in its place where it is gone or not there
# yet. The directories are named each time: the default ones are somebody else's.
uninstall() {
	[[ -n $daemon ]] || return 0
	uninstall_here || kill -9 "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
	[[ ! -d $work/root ]] || uninstall_here || true
}

uninstall_here() {
	in_ns "$host" "$fairway" uninstall --force --purge --datapath "$mode" --root "$work/root" \
		--run-dir "$work/run" --bpffs "$work/bpf" >>"$work/daemon.log" 2>&1
}

# clean_up STATUS runs at the end, at an error and at Ctrl-C, and may run half-way.
clean_up() {
	local status=$1
	trap - ERR
	trap '' INT TERM
	uninstall
	[[ -z $lan_server ]] || { kill "$lan_server" && wait "$lan_server"; } 2>/dev/null || true
	ip netns del "$lan" 2>/dev/null || true
	ip netns del "$host" 2>/dev/null || true
	verify_clean || status=1
	rm -rf --one-file-system "$work"
	if ((status == 0)); then
		say "Done: everything worked, and nothing is left"
	fi
	exit "$status"
}

# verify_clean says what is still there.
verify_clean() {
	local left=()
	! ip netns list | grep -q "fwdemo-${work##*.}-" || left+=("network namespaces")
	! grep -q "$work" /proc/self/mountinfo || left+=("mounts: $(grep -o "$work[^ ]*" /proc/self/mountinfo | tr '\n' ' ')")
	local process
	for process in $(grep -lsF "$work" /proc/[0-9]*/cmdline); do
		left+=("process: $(tr '\0' ' ' <"$process" 2>/dev/null)")
	done
	[[ ! -e $work/bpf ]] || left+=("pinned programs and maps in $work/bpf")
	[[ ! -e $work/root ]] || left+=("state in $work/root")
	local id
	for id in "${sandboxes[@]}"; do
		[[ -z $(find /sys/fs/cgroup -type d -name "*$id*" -print -quit 2>/dev/null) ]] || left+=("cgroup of sandbox $id")
	done
	((${#left[@]})) || return 0
	printf '\ndemo: left behind: %s\n' "${left[@]}" >&2
	printf 'The daemon said last:\n' >&2
	tail -n 10 "$work/daemon.log" >&2 || true
	return 1
}

finish() { say "Cleaning up"; }
