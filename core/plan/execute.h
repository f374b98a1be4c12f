#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plan/run.h"
#include "record/value.h"

namespace sn {

class Recorder;

// Plans (or finds the plan of) what a recorder holds, runs it, and turns the values that are still
// held into values with buffers.
void execute_window(Recorder& recorder);

// Runs a plan on inputs with buffers as the next window of the recorder's thread, and turns the
// outputs' values, which are fresh, into values with buffers. State that an output replaces is its
// `former`. For what was recorded once and runs again (sn.compile); there is room in the lane.
void launch(Recorder& recorder, std::shared_ptr<const Plan> plan,
            const std::shared_ptr<const StoredGraph>& stored, std::span<const Ref<Value>> inputs,
            std::span<Value* const> outputs, const std::vector<Scalar>& numbers);

// Replays failed windows, so that only what depends on a failure fails. Called before a value is
// read or used whose window may have failed.
void settle_failures(Recorder& recorder);

struct CacheStats {
    int64_t plans = 0, hits = 0, misses = 0, bytes = 0, limit = 0;
};
CacheStats plan_cache_stats();
void clear_plan_cache();
uint64_t
plan_generation();  // how often that was done: plans that are kept elsewhere are stale then
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
