#include "runtime/control.h"

#include <algorithm>
#include <utility>

#include "op/api.h"
#include "record/read.h"
#include "record/tape.h"
#include "runtime/open_sizes.h"

namespace sn {

namespace {

std::string type_text(const Meta& m) {
    return std::string(dtype_name(m.dtype)) + format_shape(m.shape);
}

bool same_type(const Meta& a, const Meta& b) {
    return a.shape == b.shape && a.dtype == b.dtype && a.device == b.device;
}

std::vector<Meta> input_types(const Model& block) {
    std::vector<Meta> types;
    for (ValueId v : block.graph.inputs) types.push_back(block.graph.meta(v));
    return types;
}

std::vector<Meta> output_types(const Model& block) {
    std::vector<Meta> types;
    for (ValueId v : block.graph.outputs) types.push_back(block.graph.meta(v));
    return types;
}

[[noreturn]] void fail_type(const char* op, const Meta& have, const Meta& want,
                            const std::string& text) {
    const ErrorKind kind = have.dtype != want.dtype        ? ErrorKind::kDType
                           : !(have.device == want.device) ? ErrorKind::kDevice
                                                           : ErrorKind::kShape;
    fail(kind, op, "%s", text.c_str());
}

void check_bool(const char* op, const char* what, const Meta& m) {
    if (m.dtype == DType::kBool && m.shape.empty()) return;
    const Meta want{{}, DType::kBool, m.device};
    fail_type(op, m, want,
              std::string(what) + " is " + type_text(m) +
                  "; it must be one bool of shape (); reduce it with .all() or .any(), or compare "
                  "it with a number");
}

void check_operands(const Control& c, const Model& block, std::span<const Meta> in) {
    const std::vector<Meta> want = input_types(block);
    if (in.size() != want.size())
        fail(ErrorKind::kValue, c.name(), "a block takes %zu operands and is given %zu",
             want.size(), in.size());
    for (size_t i = 0; i < in.size(); ++i)
        if (!same_type(in[i], want[i]))
            fail_type(c.name(), in[i], want[i],
                      "operand " + std::to_string(i) + " of a block is " + type_text(in[i]) +
                          "; the block was made for " + type_text(want[i]));
}

// What a loop hands on must be of the type of what it began with.
void check_carry(const char* op, size_t i, const Meta& before, const Meta& after) {
    if (same_type(before, after)) return;
    fail_type(op, after, before,
              "carry " + std::to_string(i) + " is " + type_text(before) + " before a step and " +
                  type_text(after) +
                  " after it; a loop hands on the same shapes and dtypes; convert what the "
                  "body returns (x.astype, x.reshape), or begin with the larger type");
}

void check_count(const char* op, const char* what, size_t have, size_t want) {
    if (have != want)
        fail(ErrorKind::kValue, op, "%s gives %zu results; it must give %zu", what, have, want);
}

Meta row_of(const Control& c, Meta m) {
    if (m.shape.empty() || m.shape[0] != c.length) {
        fail(ErrorKind::kShape, c.name(),
             "one of xs has shape %s; a scan of %lld steps takes the rows of tensors of that "
             "length; give xs of one length, or leave `length` out",
             format_shape(m.shape).c_str(), static_cast<long long>(c.length));
    }
    m.shape.erase(0);
    return m;
}

Tensor row(const Tensor& x, int64_t k) {
    const int64_t first[] = {0};
    return squeeze(narrow(x, 0, k, 1), first);
}

// What a step reads of the last one. Gradients of one step's uses are summed there, whether the
// loop is a node or has been run: sums have one order.
Tensor carried_on(const Tensor& t) { return grad_enabled() && t.requires_grad() ? alias(t) : t; }

int64_t most_steps = 0;  // under the record lock

// Before a step: somebody may want the loop to end.
void look_for_interrupt(const char* op, int64_t step) {
    if (most_steps > 0 && step >= most_steps)
        fail(ErrorKind::kValue, op,
             "it has made %lld steps, which is the limit that is set; raise it, or look at what "
             "the condition depends on",
             static_cast<long long>(most_steps));
    if (step % 32 == 31) {
        const WaitScope others;  // other threads have their turn
    }
    const InterruptPoll poll = wait_hooks().poll;
    if (poll && poll()) throw Interrupted();
}

bool read_bool(const Tensor& t) {
    if (t.is_scalar()) return t.value()->scalar.as_int() != 0;
    Tensor keep;
    return *static_cast<const uint8_t*>(read_values(t, &keep)) != 0;
}

std::vector<Meta> metas_of(std::span<const Tensor> tensors) {
    std::vector<Meta> types;
    for (const Tensor& t : tensors) types.push_back(t.value()->meta);
    return types;
}

// A call where values can be had.
class Run {
public:
    Run(const Control& c, std::span<const Tensor> in, NodeCalls& calls)
        : c_(c), in_(in), calls_(calls), random_(calls.random) {
        random_.counter += static_cast<uint64_t>(c.draw) + calls.further;
    }
    std::vector<Tensor> run() {
        const uint64_t before = random_.counter;
        std::vector<Tensor> made = c_.kind == ControlKind::kCond    ? branch()
                                   : c_.kind == ControlKind::kWhile ? loop()
                                                                    : scan();
        calls_.further += random_.counter - before;
        return made;
    }

private:
    std::vector<Tensor> block(size_t k, std::span<const Tensor> inputs) {
        return call_block(*c_.blocks[k], inputs, calls_.sizes, random_);
    }
    bool decided(const Tensor& t) const {
        check_bool(c_.name(), "the condition", t.value()->meta);
        return read_bool(t);
    }
    std::vector<Tensor> branch() { return block(decided(in_[0]) ? 0 : 1, in_.subspan(1)); }
    std::vector<Tensor> loop();
    std::vector<Tensor> scan();
    // The carries of the next step, in their places among the operands of a block.
    void hand_on(std::vector<Tensor>& given, std::span<const Tensor> made) {
        for (size_t i = 0; i < c_.carried(); ++i) {
            check_carry(c_.name(), i, given[i].value()->meta, made[i].value()->meta);
            given[i] = carried_on(made[i]);
        }
    }

    const Control& c_;
    std::span<const Tensor> in_;
    NodeCalls& calls_;
    RandomState random_;
};

std::vector<Tensor> Run::loop() {
    std::vector<Tensor> given(in_.begin(), in_.end());
    const size_t carries = c_.carried();
    std::vector<Tensor> last(given.begin(), given.begin() + static_cast<ptrdiff_t>(carries));
    for (size_t i = 0; i < carries; ++i) given[i] = carried_on(given[i]);
    for (int64_t step = 0; c_.max_steps < 0 || step < c_.max_steps; ++step) {
        look_for_interrupt(c_.name(), step);
        if (!decided(block(0, given)[0])) break;
        last = block(1, given);
        hand_on(given, last);
    }
    return last;
}

std::vector<Tensor> Run::scan() {
    const auto carries = static_cast<size_t>(c_.carries), xs = static_cast<size_t>(c_.xs);
    if (c_.length < 0)
        fail(ErrorKind::kValue, c_.name(), "its length is %lld; it must be 0 or more",
             static_cast<long long>(c_.length));
    for (size_t i = carries; i < carries + xs; ++i) row_of(c_, in_[i].value()->meta);
    std::vector<Tensor> given(in_.begin(), in_.end());
    std::vector<Tensor> last(given.begin(), given.begin() + static_cast<ptrdiff_t>(carries));
    for (size_t i = 0; i < carries; ++i) given[i] = carried_on(given[i]);
    std::vector<std::vector<Tensor>> rows(c_.blocks[0]->graph.outputs.size() - carries);
    for (int64_t step = 0; step < c_.length; ++step) {
        look_for_interrupt(c_.name(), step);
        const int64_t k = c_.reverse ? c_.length - 1 - step : step;
        for (size_t i = carries; i < carries + xs; ++i) given[i] = row(in_[i], k);
        std::vector<Tensor> made = block(0, given);
        hand_on(given, made);
        for (size_t i = 0; i < rows.size(); ++i) rows[i].push_back(made[carries + i]);
        last.assign(made.begin(), made.begin() + static_cast<ptrdiff_t>(carries));
    }
    std::vector<Tensor> results = std::move(last);
    if (c_.length == 0 && !rows.empty()) {  // no call says of what shape rows are
        std::vector<Meta> types = c_.block_inputs(metas_of(in_));
        const Model& body = *c_.blocks[0];
        types = output_types(body.sizes.empty() ? body : instantiated(body, calls_.sizes, types));
        for (size_t i = carries; i < types.size(); ++i) {
            Dims shape = types[i].shape;
            shape.insert(0, 0);
            results.push_back(full(shape, Tensor(0), types[i].dtype, types[i].device));
        }
        return results;
    }
    for (std::vector<Tensor>& list : rows) {
        if (c_.reverse) std::ranges::reverse(list);
        results.push_back(stack(list, 0));
    }
    return results;
}

}  // namespace

void set_most_steps(int64_t steps) { most_steps = steps; }

size_t Control::carried() const {
    if (kind == ControlKind::kWhile) return blocks[1]->graph.outputs.size();
    return kind == ControlKind::kScan ? static_cast<size_t>(carries) : 0;
}

std::vector<Meta> Control::block_inputs(std::span<const Meta> in) const {
    std::vector<Meta> types(in.begin() + (kind == ControlKind::kCond ? 1 : 0), in.end());
    if (kind != ControlKind::kScan) return types;
    for (size_t i = 0; i < static_cast<size_t>(xs); ++i) {
        Meta& m = types[static_cast<size_t>(carries) + i];
        m = row_of(*this, m);
    }
    return types;
}

Control control_of(OpId op, const Attrs& attrs, std::span<const BlockRef> blocks) {
    const AttrView view(op_def(op).attr_types, attrs.words());
    Control c;
    c.kind = control_kind(op);
    const size_t count = c.kind == ControlKind::kScan ? 1 : 2;
    if (view.ints(0).size() != count)
        fail(ErrorKind::kValue, op_def(op).name, "it has %zu blocks; it must have %zu",
             view.ints(0).size(), count);
    for (int64_t k : view.ints(0)) {
        if (k < 0 || k >= static_cast<int64_t>(blocks.size()))
            fail(ErrorKind::kValue, op_def(op).name, "the graph has no block %lld",
                 static_cast<long long>(k));
        c.blocks.push_back(blocks[static_cast<size_t>(k)]);
    }
    c.draw = view.i(1);
    if (c.kind == ControlKind::kWhile) c.max_steps = view.i(2);
    if (c.kind == ControlKind::kScan) {
        c.carries = view.i(2);
        c.xs = view.i(3);
        c.length = view.i(4);
        c.reverse = view.b(5);
    }
    return c;
}

std::vector<Meta> control_types(const Control& c, std::span<const Meta> in) {
    const char* op = c.name();
    if (in.size() > 65535) fail(ErrorKind::kValue, op, "it has %zu operands", in.size());
    if (c.kind == ControlKind::kCond) {
        if (in.empty()) fail(ErrorKind::kValue, op, "it has no condition");
        check_bool(op, "the condition", in[0]);
    }
    if (c.carries < 0 || c.xs < 0 || c.length < 0 || c.max_steps < -1 ||
        static_cast<uint64_t>(c.carries) > in.size() ||
        static_cast<uint64_t>(c.xs) > in.size() - static_cast<uint64_t>(c.carries))
        fail(ErrorKind::kValue, op, "its attributes do not fit its %zu operands", in.size());
    const std::vector<Meta> given = c.block_inputs(in);
    for (const BlockRef& block : c.blocks) check_operands(c, *block, given);
    std::vector<Meta> out = output_types(*c.blocks.back());
    if (out.empty()) fail(ErrorKind::kValue, op, "its functions return no tensors");
    if (c.kind == ControlKind::kCond) {
        const std::vector<Meta> first = output_types(*c.blocks[0]);
        check_count(op, "false_fn", out.size(), first.size());
        for (size_t i = 0; i < out.size(); ++i)
            if (!same_type(first[i], out[i]))
                fail_type(op, out[i], first[i],
                          "result " + std::to_string(i) + " is " + type_text(first[i]) +
                              " by true_fn and " + type_text(out[i]) +
                              " by false_fn; both must give the same shapes and dtypes; convert "
                              "one of them (x.astype, x.reshape, sn.zeros_like)");
    } else if (c.kind == ControlKind::kWhile) {
        const std::vector<Meta> test = output_types(*c.blocks[0]);
        check_count(op, "the condition", test.size(), 1);
        check_bool(op, "the condition", test[0]);
        if (out.size() > in.size()) check_count(op, "the body", out.size(), in.size());
        for (size_t i = 0; i < out.size(); ++i) check_carry(op, i, in[i], out[i]);
    } else {
        if (out.size() < static_cast<size_t>(c.carries))
            check_count(op, "the body", out.size(), static_cast<size_t>(c.carries));
        for (size_t i = 0; i < static_cast<size_t>(c.carries); ++i)
            check_carry(op, i, in[i], out[i]);
        for (size_t i = static_cast<size_t>(c.carries); i < out.size(); ++i) {
            if (out[i].shape.size() >= static_cast<size_t>(kMaxRank) ||
                (c.length > 1 && numel(out[i].shape) > kMostSize / c.length))
                fail(ErrorKind::kValue, op, "%lld rows of shape %s are too large",
                     static_cast<long long>(c.length), format_shape(out[i].shape).c_str());
            out[i].shape.insert(0, c.length);
        }
    }
    return out;
}

std::vector<Tensor> append_control(Trace& trace, const Control& c, std::span<const Tensor> given) {
    std::vector<Tensor> in;
    for (const Tensor& t : given)  // a number becomes a tensor of rank 0
        in.push_back(t.is_scalar() ? full({}, t, t.dtype(), t.device()) : t);
    const std::vector<Meta> types = control_types(c, metas_of(in));
    std::vector<ValueId> ids;
    for (const Tensor& t : in) ids.push_back(trace.bind(t, t.dtype()));
    Dims places;
    for (const BlockRef& block : c.blocks) {
        places.push_back(static_cast<int64_t>(trace.blocks.size()));
        trace.blocks.push_back(block);
    }
    Attrs attrs;
    attrs.ints(places).i(c.draw);
    if (c.kind == ControlKind::kWhile) attrs.i(c.max_steps);
    if (c.kind == ControlKind::kScan) attrs.i(c.carries).i(c.xs).i(c.length).b(c.reverse);
    std::vector<Ref<Value>> values(types.size());
    trace.append(c.op(), ids, attrs, types, false, values.data());
    std::vector<Tensor> out;
    for (Ref<Value>& v : values) out.emplace_back(std::move(v));
    return out;
}

namespace {
thread_local bool on_tape = true;
}  // namespace

bool set_control_tape(bool on) { return std::exchange(on_tape, on); }

std::vector<Tensor> record_control(Trace& trace, Control c, std::span<const Tensor> in) {
#if !defined(SN_RUNTIME)
    const auto differentiable = [](const Tensor& t) { return t.requires_grad(); };
    if (on_tape && grad_enabled() && std::ranges::any_of(in, differentiable))
        return record_differentiable(trace, c, in);
#endif
    return append_control(trace, c, in);
}

void call_control(const Control& control, std::span<const Tensor> in, std::span<Tensor> out,
                  NodeCalls& calls) {
    std::vector<Tensor> made;
    if (Trace* trace = current_trace()) {
        Control c = control;
        c.draw += static_cast<int64_t>(calls.random.counter + calls.further - trace->first_draw());
        const std::vector<Meta> types = c.block_inputs(metas_of(in));
        for (BlockRef& block : c.blocks)
            if (!block->sizes.empty())
                block = std::make_shared<const Model>(instantiated(*block, calls.sizes, types));
        made = record_control(*trace, std::move(c), in);
    } else {
        made = Run(control, in, calls).run();
    }
    // Of a node that has come onto a tape here, the last results are for its gradient.
    SN_CHECK(made.size() >= out.size());
    std::copy_n(made.begin(), out.size(), out.begin());
}

std::vector<Tensor> call_block(const Model& block, std::span<const Tensor> inputs,
                               std::span<const int64_t> sizes, RandomState& random) {
    NodeCalls calls{sizes, random};
    const std::vector<Tensor> numbers = numbers_of_call(block, random);
    std::vector<Tensor> results = call_nodes(block, inputs, numbers, calls);
    random.counter += calls.further;
    return results;
}

Model block_of(Trace& trace, std::span<const Tensor> outputs) {
    std::vector<ModelInput> inputs;
    for (size_t i = 0; i < trace.graph.inputs.size(); ++i)
        inputs.push_back({"x" + std::to_string(i), InputRole::kArgument, false});
    std::vector<Tensor> constants;
    Model block = model_of(trace, outputs, std::move(inputs), trace.first_draw(), &constants);
    SN_CHECK(constants.empty());
    return block;
}

Model with_inputs(Model block, std::span<const Meta> more) {
    for (const Meta& m : more) {
        block.inputs.push_back({"x" + std::to_string(block.inputs.size())});
        block.graph.add_input(m);
    }
    return block;
}

bool draws(const Control& c) {
    return std::ranges::any_of(c.blocks,
                               [](const BlockRef& b) { return b->draws > 0 || blocks_draw(*b); });
}

bool blocks_draw(const Model& model) {
    return std::ranges::any_of(model.blocks,
                               [](const BlockRef& b) { return b->draws > 0 || blocks_draw(*b); });
}

}  // namespace sn
