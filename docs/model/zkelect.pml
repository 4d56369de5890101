/*
 * How zkelect opens and closes terms, as a model for spin: see README.md.
 *
 * Each host has an elector and, once that has crashed, its guard. The servers,
 * the clock, the children's deaths and whoever deletes by hand are one process,
 * World. A request is a message in flight: World executes it at any later time
 * or never, and its answer arrives at any later time or never.
 *
 * Ticks are of true time. A slow clock of the child's host is in LEASE, the
 * longest that it can live after the sending of its last answered check; a fast
 * clock of the next leader is in WAIT, the least that it can wait. A child may
 * always die earlier and a wait last longer, so no other speeds need a look.
 */

#ifndef HOSTS
#define HOSTS 2
#endif
#ifndef PLACES
#define PLACES 3 /* queue nodes that are ever made */
#endif
#ifndef FORCED
#define FORCED 1 /* of them deleted by hand */
#endif
#ifndef CRASHES
#define CRASHES 1 /* of electors */
#endif
#ifndef WIPED
#define WIPED 0 /* times that the side node is deleted by hand, live with it */
#endif
#ifndef T
#define T 2 /* a session's timeout: none expires earlier after its last touch, but for EARLY_EXPIRY */
#endif
#ifndef LEASE
#define LEASE T
#endif
#ifndef WAIT
#define WAIT 0 /* the takeover delay after an unclean term, 0 without */
#endif

/* A counter-example is found sooner where nobody gives up without need and no
   answer is lost; it is one of the whole model too. */
#ifdef CALM
#define RESTLESS false
#else
#define RESTLESS true
#endif

#define NONE 15

/* What the servers hold. A queue node is its sequence number, and so is a
   session: that of the first queue node made in it. The side node's version is
   not kept: see written. */
byte queue;           /* a bit for each queue node that stands */
byte session[PLACES]; /* of each queue node */
bit alive[PLACES];    /* each session */
byte idle[PLACES];    /* ticks since its last touch, up to T */
byte term = NONE;     /* the record's: the queue node of the last term */
bit clean = 1;        /* its closing was written */
bit unclean;          /* terms are carried forward; all have the same T */
byte live = NONE;     /* by its data */
byte next;            /* sequence number */

/* Each host. */
mtype = { Idle, Opening, Stray, Beat, Yes, No, Closing };
byte mine[HOSTS] = NONE;   /* its queue node */
byte own[HOSTS] = NONE;    /* its session */
mtype check[HOSTS] = Idle; /* the opening or heartbeat in flight, or its answer */
byte sent[HOSTS];          /* ticks since its sending, up to LEASE */
byte left[HOSTS];          /* of the lease */
bit first[HOSTS];          /* it has seen itself first in the queue */
byte waited[HOSTS];        /* ticks since then, up to WAIT */
bit carries[HOSTS];        /* its opening found an unclean term */
bit started[HOSTS];        /* a child, in this term */
bit child[HOSTS];          /* and that is alive */
bit crashed[HOSTS];
mtype closing[HOSTS] = Idle;  /* the closing in flight */
byte closes[HOSTS];           /* the term it is for */
bit clears[HOSTS];            /* it drops what was carried */

#ifdef LONE_DELETE
#define FITS(q) (NODE(q) || live != q)
byte alone[HOSTS]; /* deletions of live alone in flight, up to 2 */
byte from[HOSTS];  /* the session they are of */
#else
#define FITS(q) true
#endif

byte forced, crashes, wiped;

/* What must never be. The checker's message has the name. */
bit two_children, child_outlives_session, orphan_live, foreign_live;

#define NODE(q) (queue >> (q) & 1)
#define REMOVE(q) queue = queue & ~(1 << (q))
#define FIRST(q) (NODE(q) && (queue & ((1 << (q)) - 1)) == 0)
#define ALIVE(h) (own[h] != NONE && alive[own[h]])
#define WAITED(h) (!carries[h] || waited[h] == WAIT)
#define LETTER(h) ('A' + (h))

/* The side node has a new version, so each write in flight that names the one
   before will be refused, whenever it arrives. */
inline written()
{
	j = 0;
	do
	:: j < HOSTS ->
		if
		:: check[j] == Opening -> check[j] = No
		:: check[j] == Stray -> check[j] = Idle
		:: else
		fi;
		if
		:: closing[j] == Closing -> closing[j] = Idle; closes[j] = 0; clears[j] = 0
		:: else
		fi;
		j++
	:: else -> break
	od;
	j = 0
}

/* A session is expired or closed: all its ephemeral nodes go. */
inline end_session(s)
{
	alive[s] = 0;
	idle[s] = 0;
	j = 0;
	do
	:: j < PLACES && NODE(j) && session[j] == s -> REMOVE(j); j++
	:: j < PLACES && !(NODE(j) && session[j] == s) -> j++
	:: else -> break
	od;
	j = 0;
	if
	:: live != NONE && session[live] == s -> live = NONE
	:: else
	fi
}

inline execute_opening(h)
{
	if
	:: ALIVE(h) && NODE(mine[h]) && live == NONE ->
		printf("servers: execute %c's opening of term %d\n", LETTER(h), mine[h]);
#if WAIT > 0
		unclean = unclean || !clean;
		carries[h] = unclean;
		if
		:: !unclean -> waited[h] = 0
		:: else
		fi;
#endif
		term = mine[h];
		clean = 0;
		live = mine[h];
		idle[own[h]] = 0;
		if
		:: check[h] == Opening -> check[h] = Yes
		:: else -> check[h] = Idle
		fi;
		written()
	:: else ->
		if
		:: check[h] == Opening -> check[h] = No
		:: else -> check[h] = Idle
		fi
	fi
}

/* The path of live tells nothing of its owner. */
inline execute_beat(h)
{
	if
	:: ALIVE(h) && NODE(mine[h]) && live != NONE -> idle[own[h]] = 0; check[h] = Yes
	:: else -> check[h] = Idle; sent[h] = 0
	fi
}

/* Its forms are one here: whichever of queue node and live stands is deleted.
   Sent in the wrong form it is refused and sent again. */
inline execute_closing(h)
{
	if
	:: (crashed[h] || alive[session[closes[h]]]) && FITS(closes[h]) ->
		printf("servers: execute the closing of term %d\n", closes[h]);
		clean = 1;
		unclean = unclean && !clears[h];
		REMOVE(closes[h]);
		foreign_live = live != NONE && live != closes[h];
		assert(!foreign_live);
		live = NONE;
		closing[h] = Idle;
		closes[h] = 0;
		clears[h] = 0;
		written()
	:: else ->
		closing[h] = Idle;
		closes[h] = 0;
		clears[h] = 0
	fi
}

/* The answer needs no waiting for: the next reading tells. */
inline send_closing(h)
{
	closes[h] = mine[h];
	closing[h] = Closing;
#if WAIT > 0
#ifdef CHILDLESS_CLEARS
	clears[h] = 1;
#elif defined(CLEARS_EARLY)
	clears[h] = waited[h] >= WAIT - 1;
#else
	clears[h] = started[h] && WAITED(h);
#endif
#endif
	printf("%c: sends the closing of term %d\n", LETTER(h), mine[h])
}

inline start_child(h)
{
	started[h] = 1;
	printf("%c: starts its child\n", LETTER(h));
	j = 0;
	do
	:: j < HOSTS && child[j] -> two_children = 1; j++
	:: j < HOSTS && !child[j] -> j++
	:: else -> break
	od;
	j = 0;
	child[h] = 1;
	assert(!two_children)
}

inline join(h)
{
	if
	:: ALIVE(h) ->
		orphan_live = live != NONE && session[live] == own[h];
		assert(!orphan_live)
	:: else ->
		own[h] = next;
		alive[next] = 1
	fi;
	mine[h] = next;
	session[next] = own[h];
	idle[own[h]] = 0;
	queue = queue | 1 << next;
	printf("%c: joins the queue as %d, in session %d\n", LETTER(h), next, own[h]);
	next++
}

/* Nothing of the term is left to tell. */
inline forget(h)
{
	check[h] = Idle; sent[h] = 0; left[h] = 0;
	first[h] = 0; waited[h] = 0; carries[h] = 0; started[h] = 0;
	if
	:: next == PLACES && ALIVE(h) -> end_session(own[h]); own[h] = NONE
	:: next == PLACES && !ALIVE(h) -> own[h] = NONE
	:: else
	fi
}

#ifdef ORPHAN_LIVE
#define HELD(h) false
#else
#define HELD(h) (ALIVE(h) && term == mine[h]) /* live may be its own */
#endif
#ifdef LONE_DELETE
#define LONE(h) (!NODE(mine[h]) && live == mine[h])
#define EXECUTE_LONE(h) \
	:: d_step { alone[h] > 0 && alive[from[h]] -> alone[h]--; printf("servers: execute %c's deletion of live, which is of term %d\n", LETTER(h), live); live = NONE }
#else
#define LONE(h) false
#define EXECUTE_LONE(h)
#endif
#ifdef MISSING_IS_CLEAN
#define MISSING 0
#else
#define MISSING 1
#endif
/* Nothing depends on the lease any more. */
#define DONE(h) (started[h] && !child[h])
#define STARTABLE(h) (!started[h] && left[h] > 0 && WAITED(h))

/* A child is dead before its lease is over, by the kernel's timers if by nothing else. */
#define MAY_PASS(h) (!child[h] || left[h] > 1)
#if HOSTS > 2
#define ALL_MAY_PASS MAY_PASS(0) && MAY_PASS(1) && MAY_PASS(2)
#else
#define ALL_MAY_PASS MAY_PASS(0) && MAY_PASS(1)
#endif
#define PASS(h) \
	if :: left[h] > 0 -> left[h]-- :: else fi; \
	if :: (check[h] == Opening || check[h] == Beat || check[h] == Yes) && sent[h] < LEASE -> sent[h]++ :: else fi; \
	if :: first[h] && waited[h] < WAIT && !(term == mine[h] && !carries[h]) -> waited[h]++ :: else fi

#ifdef EARLY_EXPIRY
#define MAY_EXPIRE(s) alive[s]
#define AGE(s) skip
#else
#define MAY_EXPIRE(s) (alive[s] && idle[s] == T)
#define AGE(s) if :: alive[s] && idle[s] < T -> idle[s]++ :: else fi
#endif

inline expire(s)
{
	printf("servers: session %d expires\n", s);
#ifndef EARLY_EXPIRY
	j = 0;
	do
	:: j < HOSTS && child[j] && session[mine[j]] == s -> child_outlives_session = 1; j++
	:: j < HOSTS && !(child[j] && session[mine[j]] == s) -> j++
	:: else -> break
	od;
	assert(!child_outlives_session);
#endif
	end_session(s)
}

inline crash(h)
{
	crashes++;
	crashed[h] = 1;
	sent[h] = 0;
	if
	:: check[h] == Opening || check[h] == Stray -> check[h] = Stray
	:: else -> check[h] = Idle
	fi;
	printf("%c: its elector crashes\n", LETTER(h))
}

#define HOST(h) \
	:: d_step { check[h] == Opening || check[h] == Stray -> execute_opening(h) } \
	:: d_step { check[h] == Beat -> execute_beat(h) } \
	EXECUTE_LONE(h) \
	:: d_step { closing[h] != Idle -> execute_closing(h) } \
	:: d_step { child[h] -> child[h] = 0; left[h] = 0; printf("%c: its child is dead\n", LETTER(h)) } \
	:: d_step { crashes < CRASHES && mine[h] != NONE && !crashed[h] -> crash(h) }
#define PLACE(q) \
	:: d_step { MAY_EXPIRE(q) -> expire(q) } \
	:: d_step { forced < FORCED && NODE(q) -> forced++; REMOVE(q); printf("operator: deletes queue node %d\n", q) }

active proctype World()
{
	byte j;
	do
	HOST(0)
	HOST(1)
#if HOSTS > 2
	HOST(2)
#endif
	PLACE(0)
	PLACE(1)
	PLACE(2)
	:: d_step { RESTLESS -> written(); printf("somebody writes the record\n") }
#if WIPED > 0
	/* A record without a term counts as unclean. */
	:: d_step { wiped < WIPED && term != NONE -> wiped++; term = NONE; clean = 1; live = NONE; unclean = MISSING; written();
		printf("operator: deletes the side node\n") }
#endif
	:: d_step {
		ALL_MAY_PASS ->
		PASS(0);
		PASS(1);
#if HOSTS > 2
		PASS(2);
#endif
		AGE(0);
		AGE(1);
		AGE(2);
		printf("-- a tick\n")
	}
	od
}

active [HOSTS] proctype Elector()
{
	byte h = _pid - 1, j;
	{ true;
	do
	:: atomic { next < PLACES && next >= h -> join(h) }; /* first in this order, all hosts being alike */
		do
		:: d_step { FIRST(mine[h]) && !first[h] -> first[h] = 1; printf("%c: sees itself first\n", LETTER(h)) }
		:: atomic { RESTLESS && !first[h] && NODE(mine[h]) -> REMOVE(mine[h]); printf("%c: steps aside for a transfer\n", LETTER(h)); goto over }
		/* a reading, and the opening that names the version read */
		:: d_step { first[h] && NODE(mine[h]) && term != mine[h] && live == NONE && (check[h] == Idle || check[h] == Stray) ->
			check[h] = Opening; sent[h] = 0;
			printf("%c: sends the opening of term %d\n", LETTER(h), mine[h]) }
		:: d_step { RESTLESS && check[h] == Opening -> check[h] = Stray; sent[h] = 0; printf("%c: hears no answer\n", LETTER(h)) }
		:: d_step { RESTLESS && check[h] == Yes -> check[h] = Idle; sent[h] = 0; printf("%c: hears no answer\n", LETTER(h)) }
		:: d_step { check[h] == No -> check[h] = Idle; sent[h] = 0; printf("%c: its opening is refused\n", LETTER(h)) }
		:: atomic { check[h] == Yes ->
#ifdef LATE_OPENING
			left[h] = LEASE;
#else
			left[h] = LEASE - sent[h];
#endif
			check[h] = Idle; sent[h] = 0;
			printf("%c: is answered that term %d is open\n", LETTER(h), mine[h]); break }
		:: atomic { check[h] == Idle && term == mine[h] -> printf("%c: reads that it has opened term %d\n", LETTER(h), mine[h]); break }
		:: atomic { RESTLESS && (check[h] == Idle || check[h] == Stray) && ALIVE(h) -> end_session(own[h]); printf("%c: gives up and closes its session\n", LETTER(h)); goto over }
		:: atomic { (check[h] == Idle || check[h] == Stray) && !NODE(mine[h]) && !HELD(h) -> printf("%c: finds its queue node gone\n", LETTER(h)); goto over }
		od;

		do
		:: d_step { check[h] == Idle && !DONE(h) -> check[h] = Beat; printf("%c: sends a heartbeat\n", LETTER(h)) }
		:: d_step { check[h] == Yes ->
			if
			:: LEASE - sent[h] > left[h] && !DONE(h) -> left[h] = LEASE - sent[h]
			:: else
			fi;
			check[h] = Idle; sent[h] = 0;
			printf("%c: its heartbeat is answered\n", LETTER(h)) }
		:: d_step { STARTABLE(h) -> start_child(h) }
		:: atomic { true -> check[h] = Idle; sent[h] = 0; printf("%c: ends its term\n", LETTER(h)); break }
		od;

#ifndef EARLY_RELEASE
		atomic { !child[h] -> left[h] = 0 };
#endif
		do
#ifdef LONE_DELETE
		:: d_step { ALIVE(h) && !NODE(mine[h]) && live == mine[h] && alone[h] < 2 -> alone[h]++; from[h] = own[h];
			printf("%c: sends the deletion of live, request %d\n", LETTER(h), alone[h]) }
#endif
		:: d_step { ALIVE(h) && term == mine[h] && !clean && !LONE(h) -> send_closing(h) }
		:: term == mine[h] && clean -> break
		:: atomic { term != mine[h] && ALIVE(h) && (live == NONE || session[live] != own[h]) -> REMOVE(mine[h]); break }
		:: atomic { RESTLESS && ALIVE(h) && !child[h] -> end_session(own[h]); printf("%c: gives up and closes its session\n", LETTER(h)); break }
		:: atomic { RESTLESS && ALIVE(h) -> own[h] = NONE; printf("%c: gives up its session\n", LETTER(h)); break }
		:: !ALIVE(h) -> break
		od;
over:		atomic { !child[h] -> forget(h) }
	od
	} unless {
		crashed[h];
		atomic { !child[h] -> left[h] = 0; j = 0 };
		/* the guard, by a session of its own */
		do
		:: d_step { term == mine[h] && !clean -> send_closing(h) }
		:: atomic { term == mine[h] && clean -> break }
		:: d_step { term != mine[h] && NODE(mine[h]) -> REMOVE(mine[h]);
			printf("%c's guard: deletes queue node %d\n", LETTER(h), mine[h]) }
		:: atomic { term != mine[h] && !NODE(mine[h]) -> break }
		od;
		atomic { first[h] = 0; waited[h] = 0; carries[h] = 0; started[h] = 0 }
	}
}
