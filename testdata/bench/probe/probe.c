// What measures must not be what is measured, so this is C: a start of 0.3 ms and
// less than a MiB, where a Go program has a runtime to bring up, whose memory the
// kernel would then count as its child's (it is shared up to the exec).
//
//	probe stamp FILE          a command that stamps its first and its last instant
//	probe mark FILE           a command that stamps one instant and ends
//	probe run FILE CMD [ARG…] runs CMD and tells what it took
//	probe peak FILE BUT CMD [ARG…]
//	                          runs CMD and tells what it and all that it has started
//	                          held at the most, but for the program BUT
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
	perror(what);
	_exit(99);
}

// say appends one line, in one write.
static void say(const char *file, const char *line) {
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		fail(file);
	close(fd);
}

static void stamp(const char *file, const char *which, long long at) {
	char line[80];
	snprintf(line, sizeof line, "%s %lld %d\n", which, at, getpid());
	say(file, line);
}

// USR1 is its own end, as if its work were done; TERM ends it at once as well.
static int stamps(const char *file) {
	long long begin = now();
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGUSR1);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGALRM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	alarm(600); // whatever becomes of the one that started it
	stamp(file, "begin", begin);
	int sig;
	sigwait(&ends, &sig);
	stamp(file, "end", now());
	return 0;
}

static long long micros(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }

// The times are until CMD's own end and until the end of the last process that it
// has left; the CPU time is of all of them, the memory of the largest, in kB.
static int runs(const char *file, char **argv) {
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pid_t pid, ended;
	long long begin = now(), own = 0;
	int error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (error) {
		errno = error;
		fail(argv[0]);
	}
	int status, code = -1;
	while ((ended = waitpid(-1, &status, 0)) > 0) {
		if (ended == pid) {
			own = now();
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
	}
	long long all = now();
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	char line[160];
	snprintf(line, sizeof line, "ran %d %lld %lld %lld %ld %lld\n", code, own - begin, all - begin,
		micros(used.ru_utime) + micros(used.ru_stime), used.ru_maxrss, begin);
	say(file, line);
	return 0;
}

// held is what processes hold at one instant, in kB.
struct held {
	long resident, proportional;
	int processes;
};

static struct stat left_out;

// yet tells of a process that is still its parent's image, whose memory it shows.
static int yet(const char *pid) {
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 1;
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = 0;
	char *end = strrchr(text, ')');
	unsigned flags = 0; // after state, ppid, pgrp, session, tty_nr, tpgid
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return 1;
	return flags & 0x40; // PF_FORKNOEXEC
}

static void weigh(const char *pid, struct held *h) {
	char path[64], line[256];
	struct stat exe;
	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	if (stat(path, &exe) || (exe.st_ino == left_out.st_ino && exe.st_dev == left_out.st_dev) || yet(pid))
		return;
	snprintf(path, sizeof path, "/proc/%s/smaps_rollup", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	long resident = 0, proportional = 0, v;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "Rss: %ld", &v) == 1)
			resident = v;
		else if (sscanf(line, "Pss: %ld", &v) == 1)
			proportional = v;
	}
	fclose(f);
	if (yet(pid)) // or it was, when that was read
		return;
	h->resident += resident;
	h->proportional += proportional;
	h->processes += resident > 0;
}

// weigh_children weighs all descendants of a process.
static void weigh_children(const char *pid, struct held *h) {
	char path[300], child[32];
	snprintf(path, sizeof path, "/proc/%s/task", pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		return;
	for (struct dirent *t; (t = readdir(tasks));) {
		if (t->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%s/task/%s/children", pid, t->d_name);
		FILE *f = fopen(path, "re");
		if (!f)
			continue;
		while (fscanf(f, "%31s", child) == 1) {
			weigh(child, h);
			weigh_children(child, h);
		}
		fclose(f);
	}
	closedir(tasks);
}

// It looks again and again without a pause, which makes CMD slower.
static int peaks(const char *file, const char *but, char **argv) {
	if (stat(but, &left_out))
		fail(but);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pid_t pid, ended;
	int error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (error) {
		errno = error;
		fail(argv[0]);
	}
	struct held most = {0};
	int status, code = -1, looks = 0;
	while ((ended = waitpid(-1, &status, WNOHANG)) >= 0) {
		if (ended == pid)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		struct held now = {0};
		weigh_children("self", &now);
		looks++;
		if (now.resident > most.resident)
			most.resident = now.resident;
		if (now.proportional > most.proportional)
			most.proportional = now.proportional;
		if (now.processes > most.processes)
			most.processes = now.processes;
	}
	char line[120];
	snprintf(line, sizeof line, "peak %d %ld %ld %d %d\n", code, most.resident, most.proportional, most.processes, looks);
	say(file, line);
	return 0;
}

int main(int argc, char **argv) {
	if (argc == 3 && !strcmp(argv[1], "stamp"))
		return stamps(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "mark")) {
		stamp(argv[2], "mark", now());
		return 0;
	}
	if (argc >= 4 && !strcmp(argv[1], "run"))
		return runs(argv[2], argv + 3);
	if (argc >= 5 && !strcmp(argv[1], "peak"))
		return peaks(argv[2], argv[3], argv + 4);
	fprintf(stderr, "usage: probe stamp|mark FILE | probe run FILE CMD [ARG...] | probe peak FILE BUT CMD [ARG...]\n");
	return 2;
}
