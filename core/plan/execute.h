#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace sn {

class Recorder;

// Plans (or finds the plan of) what a recorder holds, runs it, and turns the values that are still
// held into values with buffers.
void execute_window(Recorder& recorder);

// Replays failed windows, so that only what depends on a failure fails. Called before a value is
// read or used whose window may have failed.
void settle_failures(Recorder& recorder);

struct CacheStats {
    int64_t plans = 0, hits = 0, misses = 0, bytes = 0, limit = 0;
};
CacheStats plan_cache_stats();
void clear_plan_cache();
void set_plan_cache_limit(int64_t plans);

// What the last windows did, for sn.explain().
struct WindowReport {
    std::shared_ptr<const Plan> plan;
    int recorded = 0;
    bool hit = false;
    double plan_us = 0, run_us = 0;
    std::vector<double> step_us;
    std::vector<uint32_t> sites;  // by recorded node
};
void set_reports(int keep);  // how many windows are remembered; 0 turns it off
const std::vector<WindowReport>& window_reports();
void clear_reports();

}  // namespace sn
