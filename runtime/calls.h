#pragma once
// What the C interface (capi.cpp) holds, and calls of models (calls.cpp), which run under the lock
// of the core.
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "op/random.h"
#include "runtime/compiled.h"
#include "runtime/load.h"
#include "sennit/sennit.h"

struct sn_model {
    std::shared_ptr<const struct ModelState> state;
};

struct ModelState {
    sn::SavedModel saved;
    struct Info {
        std::vector<int64_t> shape;
        std::vector<const char*> dims;
    };
    std::vector<Info> inputs, outputs;  // by graph input, by result
    std::deque<std::string> texts;      // of sizes that follow from open ones
};

// A call with arguments of these shapes, recorded and planned once: calls after it record nothing.
struct PreparedCall {
    std::vector<sn::Dims> shapes;  // of the arguments
    std::unique_ptr<sn::CompiledGraph> graph;
    std::vector<sn::Tensor> captured;  // what the graph's further inputs stand for
    std::vector<uint32_t> replaced;    // by input: nothing is
};

struct sn_session {
    std::shared_ptr<const ModelState> model;
    std::vector<PreparedCall> prepared;  // the latest first
    std::mutex lock;                     // before the core's
    sn::RandomState random;
    std::vector<sn::Tensor> stand;    // parameters and constants; calls give some a new value
    std::vector<sn::Tensor> results;  // those that the caller left here
};

namespace sn {

inline const Model& graph_of(const ModelState& m) { return m.saved.model; }

// The caller's description of a tensor, and the other way round.
Meta meta_of(const sn_tensor& t, const std::string& name, const char* op);
void put_meta(sn_tensor& to, const Meta& meta);
size_t bytes_of(const Meta& meta);

// The results of the graph, then the new values of parameters; recorded, not yet run.
std::vector<Tensor> results_of(sn_session& s, std::vector<Tensor> given);

// A whole call. `lacking` gets the names of outputs whose buffers are too small.
void run(sn_session& s, const sn_tensor* inputs, size_t n_inputs, sn_tensor* outputs,
         size_t n_outputs, std::string* lacking);
// After a failure nothing of the call may stay in this thread's window.
void forget_call() noexcept;

}  // namespace sn
