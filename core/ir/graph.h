#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/dtype.h"
#include "base/shape.h"

namespace sn {

using OpId = uint16_t;
using ValueId = uint32_t;
using NodeId = uint32_t;
inline constexpr uint32_t kNone = 0xffffffffu;

// What is known of a value before it exists.
struct Meta {
    Dims shape;
    DType dtype = DType::kF32;
    Device device;
};

enum class ValueKind : uint8_t {
    kNode,    // output of a node
    kInput,   // bound to a buffer when the graph runs
    kScalar,  // bound to an eight-byte runtime number when the graph runs: not part of a plan's key
};

struct ValueInfo {
    Meta meta;
    ValueKind kind = ValueKind::kNode;
    uint16_t output = 0;      // which output of the node
    uint32_t source = kNone;  // node id, input index or scalar index
};

struct Node {
    OpId op = 0;
    uint16_t n_in = 0, n_out = 0, n_attrs = 0;
    uint32_t first_in = 0;    // into Graph::operands
    ValueId first_out = 0;    // outputs have consecutive value ids
    uint32_t first_attr = 0;  // into Graph::attrs
    uint32_t origin = 0;  // the recorded node this came from: for errors, times and source lines
};

// The one graph: flat vectors and 32-bit ids, in execution order (a node's inputs come before it).
// Filled by a window line by line, by a trace, by a pass, or from a file.
struct Graph {
    std::vector<Node> nodes;
    std::vector<ValueInfo> values;
    std::vector<ValueId> operands;
    std::vector<int64_t> attrs;
    std::vector<ValueId> inputs;   // values of kind kInput, by input index
    std::vector<ValueId> scalars;  // values of kind kScalar, by scalar index
    std::vector<ValueId> outputs;  // values that live on after the graph has run

    ValueId add_input(const Meta& meta);
    ValueId add_scalar(DType dtype, Device device);
    // Returns the first output.
    ValueId add_node(OpId op, std::span<const ValueId> in, std::span<const int64_t> attr_words,
                     std::span<const Meta> out, uint32_t origin);

    // A node of another graph with these operands.
    ValueId take_node(const Graph& from, const Node& n, std::span<const ValueId> in);
    // Room for as much as another graph has.
    void reserve_as(const Graph& other);

    std::span<const ValueId> in(const Node& n) const {
        return {operands.data() + n.first_in, n.n_in};
    }
    std::span<const int64_t> attr(const Node& n) const {
        return {attrs.data() + n.first_attr, n.n_attrs};
    }
    const Meta& meta(ValueId v) const { return values[v].meta; }
    NodeId producer(ValueId v) const {
        return values[v].kind == ValueKind::kNode ? values[v].source : kNone;
    }
    void clear();
};

// One line per node: "%7: f32(128, 10) = matmul(%3, %5)  {attrs}".
std::string print(const Graph& graph);
// Checks every structural rule; returns what is broken, or an empty string.
std::string verify(const Graph& graph);

}  // namespace sn
