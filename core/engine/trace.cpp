#include "engine/trace.h"

#include <chrono>
#include <mutex>
#include <utility>

#include "base/system.h"

namespace sn {

namespace detail {
std::atomic<bool> tracing{false};
}

namespace {

struct Collected {
    std::mutex lock;
    std::vector<TraceEvent> events;
    std::vector<std::string> threads;
};
Collected& collected() {
    static auto* made = new Collected;  // threads may still end events at exit
    return *made;
}

int64_t now_ns() {
    using namespace std::chrono;
    return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

// The number of this thread, given when it ends its first event. Under the lock.
uint32_t thread_number(Collected& c) {
    thread_local uint32_t number = UINT32_MAX;
    if (number == UINT32_MAX) {
        number = static_cast<uint32_t>(c.threads.size());
        c.threads.push_back(system::thread_name());
    }
    return number;
}

}  // namespace

void start_trace() {
    Collected& c = collected();
    const std::lock_guard guard(c.lock);
    c.events.clear();
    detail::tracing = true;
}

std::vector<TraceEvent> stop_trace() {
    Collected& c = collected();
    const std::lock_guard guard(c.lock);
    detail::tracing = false;
    return std::exchange(c.events, {});
}

std::vector<std::string> trace_threads() {
    Collected& c = collected();
    const std::lock_guard guard(c.lock);
    return c.threads;
}

void TraceScope::begin(const char* category) {
    category_ = category;
    begin_ = now_ns();
}

void TraceScope::finish() {
    const int64_t end = now_ns();
    Collected& c = collected();
    const std::lock_guard guard(c.lock);
    if (!tracing()) return;
    c.events.push_back({category_, std::move(name_), site_, thread_number(c), begin_, end});
}

}  // namespace sn
