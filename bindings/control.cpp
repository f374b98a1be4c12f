// Blocks of control nodes, for sennit/_control.py.
#include "runtime/control.h"

#include "nb.h"
#include "op/api.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/trace.h"

namespace sn::py {

namespace {

constexpr int kMostNested = 16;  // blocks in blocks; a reader of files has a limit too
thread_local int nested = 0;

nb::list wrapped(const std::vector<Tensor>& tensors) {
    nb::list list;
    for (const Tensor& t : tensors) list.append(steal(wrap(t)));
    return list;
}

ControlKind kind_of(const std::string& name) {
    for (const ControlKind kind : {ControlKind::kCond, ControlKind::kWhile, ControlKind::kScan})
        if (name == op_def(control_op(kind)).name) return kind;
    fail(ErrorKind::kInternal, "trace", "'%s' is no control op", name.c_str());
}

// Calls each function once with a list of tensors of the types in `operands` (shape, dtype,
// device; by function), in a trace of its own. What they capture from outside are further inputs of
// all blocks. Returns the blocks, and the captured tensors.
nb::tuple trace_blocks(const std::string& op, nb::handle functions, nb::handle operands) {
    return guarded([&] {
        struct Depth {
            Depth() { ++nested; }
            ~Depth() { --nested; }
        } const depth;
        if (nested > kMostNested)
            fail(ErrorKind::kValue, op, "it is nested %d times; at most %d are possible", nested,
                 kMostNested);
        const RandomState before = random_state();
        const struct Restore {
            const RandomState& state;
            ~Restore() { set_random_state(state); }
        } restore{before};
        const Trace* around = current_trace();
        std::vector<Model> blocks;
        std::vector<Tensor> captured;
        size_t at = 0;
        for (nb::handle function : functions) {
            set_random_state(before);
            Trace trace(around ? around->randomness() : Randomness::kSame);
            nb::list arguments;
            for (nb::handle type : operands[at++]) {
                const nb::object shape = type[0], dtype = type[1], device = type[2];
                Meta meta;
                bool single = false;
                SN_CHECK(to_ints(shape.ptr(), &meta.shape, &single));
                meta.dtype = to_dtype(op.c_str(), dtype.ptr());
                meta.device = to_device(op.c_str(), device.ptr());
                arguments.append(steal(wrap(trace.placeholder(meta))));
            }
            const size_t own = trace.graph.inputs.size();
            for (const Tensor& t : captured) trace.bind(t, t.dtype());
            std::vector<Tensor> outputs;
            {
                const RecordInto scope(trace);
                nb::object made = steal(PyObject_CallOneArg(function.ptr(), arguments.ptr()));
                if (!made.is_valid()) raise_python();
                for (nb::handle x : made) {
                    Tensor t = to_tensor(op.c_str(), "result", x.ptr());
                    if (t.is_scalar()) {
                        const NoGrad no_grad;
                        t = full({}, t, t.dtype(), t.device());
                    }
                    trace.bind(t, t.dtype());
                    outputs.push_back(std::move(t));
                }
            }
            if (random_state().seed != before.seed)
                fail(ErrorKind::kValue, op,
                     "a function that it calls seeds the random numbers; seed them outside");
            if (!trace.regions().empty())
                fail(ErrorKind::kValue, op,
                     "a function that it calls uses an sn.Function, whose gradient is Python code "
                     "that a graph cannot hold; trace it inside `with sn.no_grad():`, for a graph "
                     "without gradients");
            for (size_t i = own + captured.size(); i < trace.graph.inputs.size(); ++i)
                captured.push_back(trace.without_relays(trace.captured(i)));
            blocks.push_back(block_of(trace, outputs));
        }
        nb::list list;
        at = 0;
        for (Model& block : blocks) {
            const size_t want = nb::len(nb::object(operands[at++])) + captured.size();
            std::vector<Meta> more;
            for (size_t i = block.inputs.size(); i < want; ++i)
                more.push_back(captured[captured.size() - (want - i)].value()->meta);
            list.append(nb::cast(with_inputs(std::move(block), more)));
        }
        return nb::make_tuple(list, wrapped(captured));
    });
}

// A control node in the trace that is being recorded.
nb::list record_control_node(const std::string& op, nb::handle blocks, nb::handle operands,
                             int64_t carries, int64_t xs, int64_t length, bool reverse,
                             int64_t max_steps) {
    return guarded([&] {
        Trace* trace = current_trace();
        SN_CHECK(trace);
        Control c;
        c.kind = kind_of(op);
        for (nb::handle block : blocks)
            c.blocks.push_back(std::make_shared<const Model>(nb::cast<const Model&>(block)));
        c.draw = static_cast<int64_t>(random_state().counter - trace->first_draw());
        if (c.kind == ControlKind::kWhile) c.max_steps = max_steps;
        if (c.kind == ControlKind::kScan) {
            c.carries = carries;
            c.xs = xs;
            c.length = length;
            c.reverse = reverse;
        }
        std::vector<Tensor> in;
        for (nb::handle x : operands) in.push_back(to_tensor(op.c_str(), "operand", x.ptr()));
        return wrapped(record_control(*trace, std::move(c), in));
    });
}

}  // namespace

void init_control(nb::module_& m) {
    m.def("trace_blocks", &trace_blocks);
    m.def("record_control", &record_control_node, nb::arg("op"), nb::arg("blocks"),
          nb::arg("operands"), nb::arg("carries") = 0, nb::arg("xs") = 0, nb::arg("length") = 0,
          nb::arg("reverse") = false, nb::arg("max_steps") = -1);
    m.def("set_control_tape", &set_control_tape);
    m.def("set_most_steps", [](int64_t steps) { set_most_steps(steps); });
    m.def("alias",
          [](nb::handle x) { return guarded([&] { return steal(wrap(alias(get(x.ptr())))); }); });
    // Whether the elements of a tensor cannot be had: a trace makes them.
    m.def("is_traced", [](nb::handle x) { return trace_of(get(x.ptr())) != nullptr; });
}

}  // namespace sn::py
