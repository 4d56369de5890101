/*
 * How a zkelect resigns on request and hands over to a named waiter, as a model
 * for spin: see README.md. Three hosts, two resigners.
 *
 * Opening and closing are one step each here, and no child is seen: zkelect.pml
 * has them. What is left are promises. A request that was told withdrawn has not
 * ended a term and never will; a leader that has begun does not go on; who was
 * chosen leads next.
 */

#define HOSTS 3
#ifndef PLACES
#define PLACES 4 /* queue nodes that are ever made */
#endif
#define RESIGNERS 2
#define NONE 15

/* What the servers hold. A queue node is its sequence number. The side node's
   version is not kept: see written. */
byte queue;               /* a bit for each queue node that stands */
byte term = NONE;         /* the record's: the queue node of the last term */
bit clean = 1;            /* its closing was written */
byte begun = NONE;        /* the request that it has begun to honour */
byte live = NONE;
byte next;                /* sequence number */
bit request[RESIGNERS];   /* the request's node stands */
byte asks[RESIGNERS] = NONE; /* the term it is for */
byte to[RESIGNERS] = NONE; /* the queue node that is to lead next */
bit asked;                /* request 0, the older one, was made or never will be */

mtype = { Idle, Sent, Stale, Yes, Void, Gone };
byte mine[HOSTS] = NONE;
byte leader = NONE;       /* the host that leads; one at most: zkelect.pml */
mtype mark = Idle;        /* the leader's mark in flight, or its answer */
byte marks = NONE;        /* the request it is for */
mtype withdrawal[RESIGNERS] = Idle; /* in flight, or its answer */
byte dismissed;           /* a bit for each request that the leader holds for not begun and gone */
byte withdrawn;           /* a bit for each request that was told withdrawn */
byte heir = NONE;         /* whom the last term was to be followed by */

/* What must never be. The checker's message has the name. */
bit begun_but_leading, begun_but_withdrawn, wrong_heir;

#define BIT(n) (1 << (n))
#define NODE(q) ((q) != NONE && (queue >> (q) & 1))
#define REMOVE(q) queue = queue & ~BIT(q)
#define BELOW(q) (queue & (BIT(q) - 1))
#define FIRST(q) (NODE(q) && BELOW(q) == 0)
#define BEHIND(q) (NODE(q) && BELOW(q) == BIT(term)) /* right behind the leader */
#define LETTER(h) ('A' + (h))

/* The side node has a new version: a write in flight that names the one before
   will be refused, whenever it arrives. */
inline written()
{
	if :: mark == Sent -> mark = Stale :: else fi;
	if :: withdrawal[0] == Sent -> withdrawal[0] = Stale :: else fi;
	if :: withdrawal[1] == Sent -> withdrawal[1] = Stale :: else fi
}

/* Requests that can be honoured: for this term, and with a successor that is in
   the queue. Of two the older one. */
#define VALID(r) (request[r] && asks[r] == term && (to[r] == NONE || NODE(to[r])))
#ifdef TWO_TRANSFERS
#define HONOURED(r) VALID(r)
#else
#define HONOURED(r) (VALID(r) && (r == 0 || !VALID(0)))
#endif
#define WAITS(h) (live != NONE && live != mine[h])
#define MUST_GO(h, r) (HONOURED(r) && to[r] != NONE && to[r] > mine[h])

/* Stepping aside is one multi: check the request and its successor, the side
   node at the version read, which has no mark, and delete the own queue node. */
#if defined(ASIDE_ALONE)
#define MAY_GO(r) true
#elif defined(TWO_TRANSFERS)
#define MAY_GO(r) (request[r] && NODE(to[r]))
#else
#define MAY_GO(r) (request[r] && NODE(to[r]) && term == asks[r] && begun == NONE)
#endif

inline step_aside(h, r)
{
	if
	:: MAY_GO(r) ->
		REMOVE(mine[h]);
		printf("%c: has stepped aside for %d\n", LETTER(h), to[r]);
		goto again
	:: else
	fi
}

inline execute_mark()
{
	if
	:: mark == Stale && request[marks] -> mark = Void
	:: mark == Sent && request[marks] && NODE(term) && (to[marks] == NONE || NODE(to[marks])) ->
		begun = marks;
		heir = to[marks];
		printf("servers: execute the mark that request %d is begun\n", marks);
		begun_but_leading = dismissed >> marks & 1;
		assert(!begun_but_leading);
		begun_but_withdrawn = withdrawn >> marks & 1;
		assert(!begun_but_withdrawn);
		written();
		mark = Yes
	:: else -> mark = Gone
	fi
}

active [HOSTS] proctype Host()
{
	byte h = _pid;
	do
	:: atomic { next < PLACES && next >= h -> mine[h] = next; queue = queue | BIT(next);
		printf("%c: joins the queue as %d\n", LETTER(h), next); next++ };
		do
		:: atomic { FIRST(mine[h]) && live == NONE ->
			wrong_heir = heir != NONE && heir != mine[h];
			printf("%c: opens term %d\n", LETTER(h), mine[h]);
			assert(!wrong_heir);
			term = mine[h]; clean = 0; begun = NONE; heir = NONE; live = mine[h]; leader = h;
			written(); break }
		/* what was read, and later what is done about it */
		:: d_step { WAITS(h) && MUST_GO(h, 0) -> printf("%c: reads that it is to step aside for %d\n", LETTER(h), to[0]) };
			atomic { true -> step_aside(h, 0) }
		:: d_step { WAITS(h) && MUST_GO(h, 1) -> printf("%c: reads that it is to step aside for %d\n", LETTER(h), to[1]) };
			atomic { true -> step_aside(h, 1) }
		od;

		do
		/* the service of requests */
		:: d_step { mark == Idle && begun == NONE && HONOURED(0) && (to[0] == NONE || BEHIND(to[0])) -> marks = 0; mark = Sent;
			printf("%c: sends the mark that request 0 is begun\n", LETTER(h)) }
		:: d_step { mark == Idle && begun == NONE && HONOURED(1) && (to[1] == NONE || BEHIND(to[1])) -> marks = 1; mark = Sent;
			printf("%c: sends the mark that request 1 is begun\n", LETTER(h)) }
		:: atomic { mark == Yes -> mark = Idle; printf("%c: is answered, and stops\n", LETTER(h)); break }
		:: atomic { mark != Idle && begun != NONE -> mark = Idle; printf("%c: reads that request %d is begun, and stops\n", LETTER(h), begun); break }
		:: d_step { mark == Void && begun == NONE -> mark = Sent; printf("%c: sends the mark again\n", LETTER(h)) }
		:: d_step { mark == Gone && begun == NONE -> mark = Idle; dismissed = dismissed | BIT(marks);
			printf("%c: is answered that request %d is gone, and leads on\n", LETTER(h), marks) }
#ifdef LOST_MARK
		:: d_step { mark == Sent || mark == Stale || mark == Yes -> mark = Idle; dismissed = dismissed | BIT(marks);
			printf("%c: hears no answer, takes the mark for not made and leads on\n", LETTER(h));
			begun_but_leading = begun == marks;
			assert(!begun_but_leading) }
#endif
		:: atomic { true -> mark = Idle; printf("%c: its child has ended\n", LETTER(h)); break }
		od;
		atomic { marks = NONE; dismissed = 0; clean = 1; live = NONE; leader = NONE; REMOVE(mine[h]); written();
			printf("%c: closes term %d\n", LETTER(h), mine[h]) }
again:		skip
	od
}

inline ask(r, node)
{
	request[r] = 1; asks[r] = term; to[r] = node; asked = 1;
	printf("resigner %d: request %d, to end term %d", r, r, term);
	if :: node != NONE -> printf(" and have %d lead next\n", node) :: else -> printf("\n") fi
}

#define MAY_ASK(r) (live == 0 && (r == 0 || asked)) /* about the first term; others are like it */
#define CHOOSE(r, q) :: atomic { MAY_ASK(r) && NODE(q) && q != term -> ask(r, q) }

active [RESIGNERS] proctype Resigner()
{
	byte r = _pid - HOSTS;
	if
	:: atomic { r == 0 && !asked -> asked = 1; goto told } /* one alone asks */
	:: atomic { MAY_ASK(r) -> ask(r, NONE) }
	CHOOSE(r, 1)
	CHOOSE(r, 2)
	fi;
	do
	:: d_step { withdrawal[r] == Idle && term == asks[r] && !clean && begun == NONE -> withdrawal[r] = Sent;
		printf("resigner %d: sends the withdrawal\n", r) }
	:: atomic { withdrawal[r] == Yes -> break }
	:: atomic { withdrawal[r] == Void && (term != asks[r] || clean || begun != NONE) -> goto told }
	:: d_step { withdrawal[r] == Void && !(term != asks[r] || clean || begun != NONE) -> withdrawal[r] = Sent }
#ifdef GONE_IS_WITHDRAWN
	:: atomic { withdrawal[r] == Gone -> break }
#else
	:: atomic { withdrawal[r] == Gone && (term != asks[r] || clean || begun != NONE) -> goto told }
	:: atomic { withdrawal[r] == Gone && !(term != asks[r] || clean || begun != NONE) -> break }
#endif
	:: atomic { withdrawal[r] == Idle && (term != asks[r] || clean || begun != NONE) -> goto told }
	:: goto told /* it dies */
	od;
	atomic {
		withdrawn = withdrawn | BIT(r);
		printf("resigner %d: tells that the request is withdrawn\n", r);
		begun_but_withdrawn = begun == r;
		assert(!begun_but_withdrawn)
	};
told:	skip
}

#define SERVE(r) \
	:: d_step { withdrawal[r] == Sent && request[r] -> request[r] = 0; withdrawal[r] = Yes; printf("servers: execute the withdrawal of request %d\n", r) } \
	:: d_step { withdrawal[r] == Stale && request[r] -> withdrawal[r] = Void } \
	:: d_step { (withdrawal[r] == Sent || withdrawal[r] == Stale) && !request[r] -> withdrawal[r] = Gone } \
	:: d_step { withdrawal[r] == Yes -> withdrawal[r] = Idle /* its answer is lost */ } \
	:: d_step { request[r] -> request[r] = 0; printf("servers: the session of request %d expires\n", r) }

active proctype World()
{
	do
	:: d_step { mark == Sent || mark == Stale -> execute_mark() }
	:: d_step { mark == Sent || withdrawal[0] == Sent || withdrawal[1] == Sent -> written(); printf("somebody writes the record\n") }
	SERVE(0)
	SERVE(1)
	od
}
