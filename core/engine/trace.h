#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace sn {

// What ran when, on which thread: for sn.profile(). Costs one load of a flag while it is off.
struct TraceEvent {
    const char* category = "";  // "kernel", "pieces", "window", "plan": static text
    std::string name;
    uint32_t site = 0;
    uint32_t thread = 0;         // into trace_threads()
    int64_t begin = 0, end = 0;  // nanoseconds of a steady clock
};

namespace detail {
extern std::atomic<bool> tracing;
}
inline bool tracing() { return detail::tracing.load(std::memory_order_relaxed); }

void start_trace();                        // forgets what was collected before
std::vector<TraceEvent> stop_trace();      // what has ended by now
std::vector<std::string> trace_threads();  // names, by number

// One event, from here to the end of the scope.
class TraceScope {
public:
    explicit TraceScope(const char* category) {
        if (tracing()) [[unlikely]]
            begin(category);
    }
    ~TraceScope() {
        if (begin_) [[unlikely]]
            finish();
    }
    TraceScope(const TraceScope&) = delete;
    TraceScope& operator=(const TraceScope&) = delete;
    // Whether the event will be kept: names are made only then.
    bool wanted() const { return begin_ != 0; }
    void name(std::string text, uint32_t site = 0) {
        name_ = std::move(text);
        site_ = site;
    }

private:
    void begin(const char* category);
    void finish();

    const char* category_ = "";
    int64_t begin_ = 0;
    std::string name_;
    uint32_t site_ = 0;
};

}  // namespace sn
