#pragma once
#include "engine/engine.h"

namespace sn {

// Waiting threads let others record meanwhile (Python: release the GIL). A scope is opened before
// any lock that is held while waiting: its end may wait for a thread that wants the lock.
struct WaitHooks {
    void* (*before)() = nullptr;
    void (*after)(void*) = nullptr;
    InterruptPoll poll = nullptr;
};
void set_wait_hooks(WaitHooks hooks);
const WaitHooks& wait_hooks();
struct WaitScope {
    WaitScope() : token(wait_hooks().before ? wait_hooks().before() : nullptr) {}
    ~WaitScope() {
        if (wait_hooks().after) wait_hooks().after(token);
    }
    WaitScope(const WaitScope&) = delete;
    WaitScope& operator=(const WaitScope&) = delete;
    void* token;
};

}  // namespace sn
