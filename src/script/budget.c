/* SPDX-License-Identifier: MIT */
/*
 * How a call into Lua is stopped.
 *
 *   loop thread                  watchdog thread, every 1 ms             loop thread, in the
 * handler generation becomes odd  -->  sees a new odd generation: lua_pcall ... notes the thread's
 * CPU time sees the same one, over its limit: -->  generation still the overdue one? overdue =
 * generation, pthread_kill      hook on every instruction
 *   ... the hook raises, again and again, until control is here
 *   generation becomes even
 *   hook off
 *
 *  [T1] The handler touches Lua only while `generation` equals `overdue`, and both change only on
 *       the thread the handler runs on (overdue: before the signal): a late signal does nothing.
 *  [T2] The hook stays until ml_budget_leave. One that disarms itself is beaten by pcall in a loop.
 *  [T3] The hook is a count hook only. A call hook would also stop the traceback handler.
 *  [T4] CPU time counts, not wall time: a thread that was not scheduled is not to blame. Nothing in
 *       Lua waits, so CPU time passes.
 *  [T5] Nobody running: the watchdog sleeps. Entering wakes it; both sides order "I run" against "I
 *       sleep" sequentially, so one of them sees the other.
 *  [T6] Inside a hook no hook fires, and an error handler of Lua's own xpcall runs inside the hook
 * that raised. Plugins therefore get an xpcall that unwinds first (lua/moonloom/xpcall.lua); the
 * only handler that runs inside the hook is ours, in C.
 *
 * lua_sethook from a signal handler is what the stock interpreter does too; nothing else of the Lua
 * API is called there. The hook belongs to the global state, so it reaches every coroutine.
 */
#include "script/budget.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <time.h>

#include "base/assert.h"

#define TICK_NS     1000000L
#define IDLE_TICKS  50 /* then the watchdog sleeps */
#define STOP_SIGNAL (SIGRTMIN + 5)
#define NS_PER_US   1000u

static struct {
    pthread_mutex_t life; /* held while the thread is started or joined; taken before `lock` */
    pthread_mutex_t lock; /* list, users and stopping */
    pthread_cond_t wake;
    struct ml_list budgets;
    unsigned users;
    bool stopping;
    pthread_t thread;
    _Atomic bool asleep;
} watchdog = {.life = PTHREAD_MUTEX_INITIALIZER,
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .wake = PTHREAD_COND_INITIALIZER};

/* The call that runs on this thread. Initial-exec: touching it in a handler must not allocate. */
static _Thread_local struct ml_budget *volatile current __attribute__((tls_model("initial-exec")));

static lua_Hook line_hook; /* NULL: nobody looks at lines */

static void stop_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "stopped: over its time limit");
}

static void instructions_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "stopped: too many instructions");
}

static void on_signal(int signal_no)
{
    struct ml_budget *budget = current;

    (void)signal_no;
    if (!budget || atomic_load(&budget->overdue) != atomic_load(&budget->generation))
        return;
    budget->fired = 1;
    lua_sethook(budget->L, stop_hook, LUA_MASKCOUNT, 1);
}

/* 0 if the thread's clock cannot be read. */
static uint64_t cpu_ns_of(pthread_t thread)
{
    clockid_t id;
    struct timespec t;

    if (pthread_getcpuclockid(thread, &id) || clock_gettime(id, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Answers whether this budget is in use. */
static bool look_at(struct ml_budget *budget)
{
    uint64_t generation = atomic_load(&budget->generation);
    pthread_t thread = atomic_load(&budget->thread);
    uint64_t now_ns;

    if (!(generation & 1))
        return false;
    now_ns = cpu_ns_of(thread);
    if (generation != budget->seen_generation) {
        budget->seen_generation = generation;
        budget->cpu_base_ns = now_ns;
    } else if (now_ns - budget->cpu_base_ns >=
               (uint64_t)atomic_load(&budget->deadline_us) * NS_PER_US) {
        atomic_store(&budget->overdue, generation);
        pthread_kill(thread, STOP_SIGNAL);
    }
    return true;
}

static bool look_at_all(void)
{
    bool busy = false;

    ML_LIST_EACH(node, &watchdog.budgets)
    busy |= look_at(ML_CONTAINER(node, struct ml_budget, node));
    return busy;
}

static void *watch(void *arg)
{
    unsigned idle = 0;
    struct timespec tick = {.tv_nsec = TICK_NS};

    (void)arg;
    pthread_mutex_lock(&watchdog.lock);
    while (!watchdog.stopping) {
        idle = look_at_all() ? 0 : idle + 1;
        if (idle > IDLE_TICKS) {
            atomic_store(&watchdog.asleep, true);
            /* Somebody may have entered between the look and the store [T5]. */
            if (!look_at_all() && !watchdog.stopping)
                pthread_cond_wait(&watchdog.wake, &watchdog.lock);
            atomic_store(&watchdog.asleep, false);
            idle = 0;
            continue;
        }
        pthread_mutex_unlock(&watchdog.lock);
        nanosleep(&tick, NULL);
        pthread_mutex_lock(&watchdog.lock);
    }
    pthread_mutex_unlock(&watchdog.lock);
    return NULL;
}

/* Called with the lock. */
static enum ml_err start_watchdog(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigset_t all, before;
    int failed;

    sigemptyset(&action.sa_mask);
    if (sigaction(STOP_SIGNAL, &action, NULL))
        return ML_ELIMIT;
    ml_list_init(&watchdog.budgets);
    watchdog.stopping = false;
    atomic_store(&watchdog.asleep, false);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the watchdog takes no signals */
    failed = pthread_create(&watchdog.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? ML_ELIMIT : ML_OK;
}

enum ml_err ml_budget_init(struct ml_budget *budget, lua_State *L)
{
    enum ml_err err = ML_OK;

    *budget = (struct ml_budget){.L = L};
    pthread_mutex_lock(&watchdog.life);
    pthread_mutex_lock(&watchdog.lock);
    if (watchdog.users == 0)
        err = start_watchdog();
    if (!err) {
        watchdog.users++;
        ml_list_append(&watchdog.budgets, &budget->node);
    }
    pthread_mutex_unlock(&watchdog.lock);
    pthread_mutex_unlock(&watchdog.life);
    return err;
}

void ml_budget_release(struct ml_budget *budget)
{
    pthread_mutex_lock(&watchdog.life);
    pthread_mutex_lock(&watchdog.lock);
    ml_list_remove(&budget->node);
    watchdog.stopping = --watchdog.users == 0;
    pthread_cond_signal(&watchdog.wake);
    pthread_mutex_unlock(&watchdog.lock);
    if (watchdog.users == 0)
        pthread_join(watchdog.thread, NULL);
    pthread_mutex_unlock(&watchdog.life);
}

/* The signal must be able to arrive on a thread that is new to this budget. */
static void adopt_thread(struct ml_budget *budget, pthread_t self)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, STOP_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    atomic_store(&budget->thread, self);
}

static void wake_watchdog(void)
{
    pthread_mutex_lock(&watchdog.lock);
    pthread_cond_signal(&watchdog.wake);
    pthread_mutex_unlock(&watchdog.lock);
}

void ml_budget_enter(struct ml_budget *budget, uint32_t deadline_us)
{
    pthread_t self = pthread_self();

    ML_ASSERT(!current);
    if (!pthread_equal(atomic_load_explicit(&budget->thread, memory_order_relaxed), self))
        adopt_thread(budget, self);
    if (line_hook) {
        deadline_us = deadline_us > UINT32_MAX / 10 ? UINT32_MAX : deadline_us * 10;
        lua_sethook(budget->L, line_hook, LUA_MASKLINE, 0);
    }
    atomic_store_explicit(&budget->deadline_us, deadline_us, memory_order_relaxed);
    budget->fired = 0;
    current = budget;
    /* Sequentially consistent: ordered before the load of `asleep` [T5]. */
    atomic_fetch_add(&budget->generation, 1);
    if (atomic_load(&watchdog.asleep))
        wake_watchdog();
}

void ml_budget_leave(struct ml_budget *budget)
{
    uint64_t generation = atomic_load_explicit(&budget->generation, memory_order_relaxed);

    atomic_store_explicit(&budget->generation, generation + 1, memory_order_release);
    current = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    if (lua_gethookmask(budget->L))
        lua_sethook(budget->L, NULL, 0, 0);
}

/* If the signal comes in between, the next one, a tick later, sets its hook again. */
void ml_budget_count(struct ml_budget *budget, int instructions)
{
    if (budget->fired)
        return;
    if (instructions)
        lua_sethook(budget->L, instructions_hook, LUA_MASKCOUNT, instructions);
    else
        lua_sethook(budget->L, line_hook, line_hook ? LUA_MASKLINE : 0, 0);
}

void ml_budget_trace(lua_Hook hook)
{
    line_hook = hook;
}

void ml_budget_check(const struct ml_budget *budget, lua_State *L)
{
    if (budget->fired)
        luaL_error(L, "stopped: over its time limit");
}
