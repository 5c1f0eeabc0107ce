/* SPDX-License-Identifier: MIT
 *
 * The life of a name in a domain: claimed, attached, taken over from the dead, released,
 * destroyed, swept, by four processes, of which two may be killed before any step (a third and
 * fourth may be stopped there: that is an interleaving). Each step is a call of the kernel, or a
 * store that others see. The letters and numbers of the steps are those of src/domain/object.c.
 *
 * An object is an inode: it gets the name once, complete, and never again. LIFE is the lock that
 * its owner holds until its death; BURIAL the lock of whoever removes the name of a dead one.
 * Locks are the kernel's: they are free when their holder is dead.
 *
 * Variants, by -D:
 *     OWNED      three claim and release, one sweeps; one dead object is there from the start
 *     KEPT       four claim at once, and whoever wins keeps: exactly one wins
 *     STAYS      objects that stay until destroyed: two create, one destroys, one attaches
 *     ORPHANS    as OWNED, but the dead leave a forked child that holds on to LIFE
 * Faults that must be noticed:
 *     WITHOUT_BURIAL    the lock is not taken
 *     WITHOUT_COMPARE   whether the name is still that inode's is not looked at (B2)
 *     LIFE_TOO_LATE     LIFE is locked after the object has its name
 *     COMPANION_LAST    the socket is removed after the name (B3 after B4)
 *     DEATH_FORGOTTEN   the dead are not told from the living by LIFE, but by the socket
 */
#define NONE 255
#define FREE 0
#define CHILD 99 /* of a dead owner, holds its lock */
#define OBJECTS 6
#define TRIES 0 /* at a burial that somebody else is at; then the answer is EADDRINUSE */

#ifndef CRASHES
#define CRASHES 2
#endif

byte name = NONE;   /* the inode that has it */
byte socket = NONE; /* the companion: the inode of the owner that bound it */
byte life[OBJECTS];   /* who holds it, FREE: nobody */
byte burial[OBJECTS];
byte owner[OBJECTS]; /* as the header says */
bool complete[OBJECTS], stays[OBJECTS], ending[OBJECTS];
bool gone[8]; /* processes */
byte crashes = 0, owners = 0, wins = 0, ended = 0;

#ifdef DEATH_FORGOTTEN
#define IS_DEAD(X) (socket != (X))
#else
#define IS_DEAD(X) (!stays[X] && (life[X] == FREE || gone[owner[X]]))
#endif
#define REALLY_DEAD(X) (!stays[X] && (life[X] == FREE || gone[owner[X]]))

/* One step, or death before it. */
#define STEP(ACTION)                                        \
    if                                                      \
    :: atomic { true -> ACTION }                            \
    :: atomic { crashes < CRASHES && me != LAST ->          \
           crashes++; goto killed }                         \
    fi

#define LAST 5

#ifdef LIFE_TOO_LATE
#define LOCK_LIFE skip
#else
#define LOCK_LIFE if :: !to_stay -> life[me] = me :: else fi
#endif

/* What the kernel does for a dead process. It has at most one lock of each sort; where it has
 * both, LIFE is that of an object which has no name yet, so their order tells nobody anything. */
inline kernel_cleans() {
    d_step {
        if
        :: is_owner -> owners--; is_owner = false
        :: else
        fi;
        gone[me] = true;
        i = 0;
        do
        :: i < OBJECTS ->
            if
            :: burial[i] == me -> burial[i] = FREE
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
    atomic {
        if
#ifdef ORPHANS
        :: life[me] == me -> life[me] = CHILD
#endif
        :: life[me] == me -> life[me] = FREE
        :: life[me] != me
        fi
    }
}

/* Removes the name of x, which was dead or ending when this process looked. */
inline bury(x) {
    tries = 0;
    busy = false;
    do
    :: true ->
#ifdef WITHOUT_BURIAL
        STEP(got = true);
#else
        STEP(if :: burial[x] == FREE -> burial[x] = me; got = true :: else -> got = false fi);
#endif
        if
        :: got -> break
        :: !got && tries < TRIES -> tries++
        :: !got && tries == TRIES -> busy = true; break
        fi
    od;
    if
    :: busy
    :: else ->
        STEP(got = (name == x));
#ifdef WITHOUT_COMPARE
        got = (name != NONE);
#endif
        if
        :: got ->
#ifdef COMPANION_LAST
            STEP(remove_name(x));
            STEP(remove_socket());
#else
            STEP(remove_socket());
            STEP(remove_name(x));
#endif
        :: else
        fi;
        STEP(if :: burial[x] == me -> burial[x] = FREE :: else fi)
    fi
}

/* By a burier: never the name or the socket of one who lives (P2). */
inline remove_name(x) {
    assert(name == NONE || REALLY_DEAD(name) || ending[name]);
    assert(name == NONE || name == x);
    name = NONE
}

inline remove_socket() {
    assert(socket == NONE || REALLY_DEAD(socket));
    socket = NONE
}

/* C1 to C8. won: this process has the name. */
inline claim(to_stay) {
    new = NONE;
    won = false;
    do
    :: true ->
        STEP(x = name); /* C1: the descriptor keeps the inode */
        if
        :: x != NONE ->
            STEP(assert(complete[x]); got = (ending[x] || IS_DEAD(x))); /* C2, C3 */
            if
            :: got ->
                bury(x); /* C4 */
                if
                :: busy -> break
                :: else
                fi
            :: else -> break /* EADDRINUSE, EEXIST */
            fi
        :: else ->
            /* C6 and C7: nobody can see the object before the link. There is one for each
             * process, with its number. */
            STEP(
                if
                :: new == NONE -> new = me; owner[me] = me; stays[me] = to_stay;
                    complete[me] = true;
                    LOCK_LIFE
                :: else
                fi;
                if
                :: name == NONE -> name = new; won = true;
                    if
                    :: !to_stay -> is_owner = true; owners++; assert(owners <= 1) /* P1 */
                    :: else
                    fi
                :: else
                fi);
            if
            :: won -> break
            :: else
            fi
        fi
    od;
    if
    :: won && !to_stay ->
#ifdef LIFE_TOO_LATE
        STEP(life[new] = me);
#endif
        /* C8 */
        STEP(assert(name == new); /* P2 */
             assert(socket == NONE || REALLY_DEAD(socket)); socket = new)
    :: else
    fi
}

/* R1 to R4, by an owner that lives. */
inline release() {
    STEP(assert(name == new && socket == new); /* P2 */
         owners--; is_owner = false; socket = NONE);
    STEP(assert(name == new); name = NONE);
    STEP(life[new] = FREE)
}

#define LOCALS                                                  \
    byte x = NONE, new = NONE, i = 0, tries = 0;                \
    bool got = false, busy = false, won = false, is_owner = false; \
    bool to_stay = false

#define END(KILLED)                                             \
    goto done;                                                  \
killed:                                                         \
    kernel_cleans();                                            \
done:                                                           \
    atomic {                                                    \
        x = NONE; new = NONE; i = 0; tries = 0;                 \
        got = false; busy = false; won = false; to_stay = false; \
        ended++                                                 \
    }

proctype claimer(byte me) {
    LOCALS;
    claim(to_stay);
    if
    :: won ->
#ifdef KEPT
        wins++
#else
        release()
#endif
    :: else
    fi;
    END()
}

proctype creator(byte me) {
    LOCALS;
    to_stay = true;
    claim(to_stay);
    END()
}

proctype sweeper(byte me) {
    LOCALS;
    STEP(x = name);
    if
    :: x != NONE ->
        STEP(got = (ending[x] || IS_DEAD(x)));
        if
        :: got -> bury(x)
        :: else
        fi
    :: else
    fi;
    END()
}

/* A1 to A5. */
proctype attacher(byte me) {
    LOCALS;
    STEP(x = name);
    if
    :: x != NONE ->
        STEP(assert(complete[x]); got = ending[x]);
        if
        :: got -> bury(x)
        :: else
        fi
    :: else
    fi;
    END()
}

/* D1 to D7: marks it as ending under BURIAL, and removes it. */
proctype destroyer(byte me) {
    LOCALS;
    STEP(x = name);
    if
    :: x != NONE ->
        STEP(if :: burial[x] == FREE -> burial[x] = me; got = true :: else -> got = false fi);
        if
        :: got ->
            STEP(got = (name == x));
            if
            :: got ->
                STEP(ending[x] = true);
                STEP(remove_socket());
                STEP(remove_name(x))
            :: else
            fi;
            STEP(burial[x] = FREE)
        :: else
        fi
    :: else
    fi;
    END()
}

#ifdef ORPHANS
/* The forked children close what they have, at some time or never. */
proctype children() {
end:
    do
    :: atomic { life[0] == CHILD -> life[0] = FREE }
    :: atomic { life[1] == CHILD -> life[1] = FREE }
    :: atomic { life[2] == CHILD -> life[2] = FREE }
    :: atomic { life[3] == CHILD -> life[3] = FREE }
    od
}
#endif

/* When all have ended: the name passes to whoever comes next, and nothing is left (P3 to P5). */
proctype last(byte me) {
    LOCALS;
    ended == 4;
#ifdef STAYS
    /* What was created and not destroyed is there, whole, and without crashes it is one. */
    x = name;
    if
    :: x != NONE && ending[x] -> bury(x); assert(!busy && name == NONE)
    :: x != NONE && !ending[x] -> assert(complete[x] && stays[x])
    :: else
    fi;
#else
#ifdef KEPT
    assert(crashes > 0 || wins == 1);
    assert(owners <= 1);
    /* Their owner goes, too: without a word. */
    i = 0;
    do
    :: i < OBJECTS -> life[i] = FREE; i++
    :: else -> break
    od;
    owners = 0;
    ending[0] = ending[0];
#endif
    claim(to_stay);
    assert(won);
    release();
    assert(name == NONE && socket == NONE);
#endif
    END()
}

init {
    atomic {
#ifndef STAYS
        /* A dead one's object, with its socket. */
        complete[0] = true;
        name = 0;
        socket = 0;
        gone[7] = true;
        owner[0] = 7;
#ifdef ORPHANS
        life[0] = CHILD;
        run children();
#endif
#endif
#ifdef STAYS
        run creator(1);
        run creator(2);
        run destroyer(3);
        run attacher(4);
#else
        run claimer(1);
        run claimer(2);
        run claimer(3);
#ifdef KEPT
        run claimer(4);
#else
        run sweeper(4);
#endif
#endif
        run last(LAST)
    }
}
