/* SPDX-License-Identifier: MIT */
/* Peers cause errors, we cause assertions: nothing that comes from outside may reach one. */
#ifndef ML_BASE_ASSERT_H
#define ML_BASE_ASSERT_H

/** Prints and aborts; main may install a handler that flushes logs first. */
_Noreturn void ml_panic(const char *file, int line, const char *what);

/** Called once with the message before the process aborts. Set before any thread starts. */
void ml_panic_set_handler(void (*handler)(const char *message));

/* Cheap facts, compiled into every build. */
#define ML_ASSERT(fact) ((fact) ? (void)0 : ml_panic(__FILE__, __LINE__, #fact))

/* Walks; debug builds only. */
#ifdef NDEBUG
#define ML_ASSERT_DEBUG(fact) ((void)0)
#else
#define ML_ASSERT_DEBUG(fact) ML_ASSERT(fact)
#endif

#endif
