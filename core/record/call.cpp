#include "op/api.h"
#include "op/op.h"
#include "record/read.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/tensor.h"

namespace sn {

namespace {

thread_local bool grad_mode = true;
thread_local Device number_device;
constexpr int kInlineOperands = 8;

[[noreturn]] void fail_device(const OpDef& def, Device a, Device b) {
    fail(ErrorKind::kDevice, def.name,
         "operands are on different devices (%s and %s); all must be on one; move one of them with "
         "x.to(device)",
         device_name(a).c_str(), device_name(b).c_str());
}

// The device of an op call: that of its tensors; Python numbers go where the tensors are.
Device common_device(const OpDef& def, std::span<const Tensor> in) {
    Device device = number_device;
    bool found = false;
    for (const Tensor& t : in)  // made of numbers alone: decides where nothing else does
        if (t.weak() && !t.is_scalar()) device = t.device();
    for (const Tensor& t : in) {
        // A choice between numbers by a mask is weak too, but lies where the mask does.
        if (t.weak() && t.rank() == 0) continue;
        if (found && !(t.device() == device)) fail_device(def, device, t.device());
        device = t.device();
        found = true;
    }
    return device;
}

ScalarKind weak_kind(DType d) {
    return is_complex(d) ? ScalarKind::kComplex
           : is_float(d) ? ScalarKind::kFloat
           : is_bool(d)  ? ScalarKind::kBool
                         : ScalarKind::kInt;
}

// What the operands promote to.
DType common_dtype(std::span<const Tensor> in, bool* weak) {
    DType dtype = DType::kBool;
    bool any_strong = false;
    for (const Tensor& t : in) {
        if (t.weak()) continue;
        dtype = any_strong ? promote(dtype, t.dtype()) : t.dtype();
        any_strong = true;
    }
    *weak = !any_strong;
    for (const Tensor& t : in) {
        if (!t.weak()) continue;
        if (any_strong)
            dtype = promote_weak(dtype, weak_kind(t.dtype()));
        else
            dtype = promote(dtype, t.dtype());
    }
    return dtype;
}

// The dtype in which an elementwise op computes: promotion over its operands, then the op's class.
DType elementwise_dtype(const OpDef& def, std::span<const Tensor> in, bool* weak) {
    const DType dtype = common_dtype(in, weak);
    return elementwise_compute_dtype(def.name, static_cast<TileClass>(def.dtype_class), dtype,
                                     *weak);
}

void put_on_tape(const OpDef& def, std::span<const Tensor> in, const Attrs& attrs,
                 std::span<const Meta> out_meta, std::span<Tensor> out, bool conjugate) {
    bool differentiable = false;
    for (const Meta& m : out_meta) differentiable |= is_inexact(m.dtype);
    if (!differentiable) return;
    GradNode* node = GradNode::make(static_cast<int>(in.size()), static_cast<int>(out.size()));
    Ref<GradNode> entry(node);
    node->op = def.id;
    node->site = current_site();
    node->conjugate = conjugate;
    node->attrs = SmallVec<int64_t, 4>(attrs.words());
    for (size_t i = 0; i < in.size(); ++i) {
        GradInput& slot = node->inputs[i];
        slot.node = in[i].node();
        slot.output = in[i].output();
        slot.meta = in[i].value()->meta;
        // Numbers are kept always: they cost nothing and rules need them.
        if (in[i].is_scalar() || (i < 16 && (def.saves & save_in(static_cast<int>(i)))))
            slot.saved = in[i].value();
    }
    for (size_t k = 0; k < out.size(); ++k) {
        node->outputs[k].meta = out_meta[k];
        if (def.saves & save_out(static_cast<int>(k))) node->outputs[k].saved = out[k].value();
        if (is_inexact(out_meta[k].dtype))
            out[k] = Tensor(out[k].value(), entry, static_cast<uint32_t>(k));
    }
}

void record_cast(const Tensor& x, DType dtype, Tensor* out);

bool detecting_nan = false;
struct Unwatched {
    bool before = detecting_nan;
    Unwatched() { detecting_nan = false; }
    ~Unwatched() { detecting_nan = before; }
};

[[noreturn]] void fail_nan(const OpDef& def, const Dims& shape, const std::string& operands) {
    constexpr const char* kAdvice =
        "log or sqrt of a negative number, 0/0, inf - inf; sn.config.detect_nan = False turns this "
        "check off";
    const uint32_t site = current_site();  // in a gradient: the line of the forward op
    try {
        if (const char* op = gradient_of()) {
            fail(ErrorKind::kNumeric, op,
                 "the gradient of this operation contains NaN: its step %s gave one in a result of "
                 "shape %s (operands of shapes %s); look at the operands there: %s",
                 def.name, format_shape(shape).c_str(), operands.c_str(), kAdvice);
        }
        fail(ErrorKind::kNumeric, def.name,
             "the result of shape %s contains NaN (operands of shapes %s); look at the operands "
             "there: %s",
             format_shape(shape).c_str(), operands.c_str(), kAdvice);
    } catch (Error& error) {
        error.set_site(site);
        throw;
    }
}

// Runs what has been recorded and looks at the results of this op.
void look_for_nan(const OpDef& def, std::span<const Tensor> in, std::span<Tensor> out) {
    const Unwatched pause;
    for (const Tensor& t : out) {
        if (!is_inexact(t.dtype()) || t.numel() == 0 || def.view) continue;
        const NoGrad no_grad;
        const Tensor found = any(isnan(t.detach()), {}, false);
        Tensor keep;
        if (!*static_cast<const uint8_t*>(read_values(found, &keep))) continue;
        std::string shapes;
        for (const Tensor& i : in) shapes += (shapes.empty() ? "" : ", ") + format_shape(i.shape());
        fail_nan(def, t.shape(), shapes);
    }
}

// A call with a complex operand: made of calls on parts by the op's rule.
void record_complex(const OpDef& def, std::span<const Tensor> in, const Attrs& attrs,
                    std::span<Tensor> out, bool needs_grad) {
    bool weak = false;
    const DType dtype = common_dtype(in.subspan(def.dtype_operand), &weak);
    if (!def.complex || !is_complex(dtype)) {
        DType given = dtype;
        for (const Tensor& t : in)
            if (is_complex(t.dtype())) given = t.dtype();
        fail(ErrorKind::kDType, def.name,
             "an operand has dtype %s, and this operation has no meaning for complex numbers; give "
             "it real ones: sn.real(x), sn.imag(x) or sn.abs(x)",
             dtype_name(given));
    }
    ComplexCall call{in, AttrView(def.attr_types, attrs.words()), out, dtype};
    const bool own_rule = def.complex_grad != ComplexGrad::kComposed;
    {
        const Unwatched pause;  // infinities on the way may give a NaN that is not used
        const bool before = grad_mode;
        const struct Restore {
            bool mode;
            ~Restore() { grad_mode = mode; }
        } restore{before};
        // A replay of a trace differentiates the calls that it is made of.
        if (own_rule && Recorder::current().kind() != Recorder::Kind::kTrace) grad_mode = false;
        def.complex(call);
    }
    if (weak)
        for (Tensor& t : out) t.value()->weak = true;
    if (own_rule && needs_grad) {
        Meta metas[4];
        for (size_t k = 0; k < out.size(); ++k) metas[k] = out[k].value()->meta;
        put_on_tape(def, in, attrs, {metas, out.size()}, out,
                    def.complex_grad == ComplexGrad::kConjugate);
    }
    if (detecting_nan && Recorder::current().kind() == Recorder::Kind::kWindow)
        look_for_nan(def, in, out);
}

}  // namespace

void set_detect_nan(bool on) { detecting_nan = on; }
bool detect_nan() { return detecting_nan; }

bool grad_enabled() { return grad_mode; }
NumberDevice::NumberDevice(Device device) : before(number_device) { number_device = device; }
NumberDevice::~NumberDevice() { number_device = before; }
NoGrad::NoGrad() : before(grad_mode) { grad_mode = false; }
NoGrad::~NoGrad() { grad_mode = before; }
void set_grad_enabled(bool enabled) { grad_mode = enabled; }

Tensor record(OpId op, std::span<const Tensor> in, const Attrs& attrs) {
    Tensor out;
    record(op, in, attrs, std::span<Tensor>(&out, 1));
    return out;
}

namespace {

// A result of Python numbers alone that was computed elsewhere than where the tensors are: a number
// again.
bool is_foreign(const Tensor& t, Device device) {
    return t.weak() && !t.is_scalar() && !is_complex(t.dtype()) && !(t.device() == device);
}

}  // namespace

void record(OpId op, std::span<const Tensor> in, const Attrs& attrs, std::span<Tensor> out) {
    const OpDef& def = op_def(op);
    Recorder& recorder = Recorder::current();
    const size_t n = in.size();
    SN_CHECK(def.n_in < 0 || n >= static_cast<size_t>(def.n_in));

    bool needs_grad = false;
    if (grad_mode && def.grad) {
        for (const Tensor& t : in) needs_grad |= t.requires_grad();
    }

    bool any_complex = false;
    for (const Tensor& t : in) {
        const Value& v = *t.value();
        any_complex |= is_complex(v.meta.dtype);
        if (v.kind == ValueState::kPending ? v.recorder != &recorder
                                           : v.lane != nullptr && v.lane != &recorder.lane())
            recorder.prepare(t);
    }

    if (any_complex && !def.moves) {
        record_complex(def, in, attrs, out, needs_grad);
        return;
    }

    SmallVec<ValueId, kInlineOperands> ids;
    ids.resize(n);
    Meta out_meta[4];
    SN_CHECK(out.size() <= 4);
    const Device device = common_device(def, in);
    bool weak = false, foreign = false;
    for (const Tensor& t : in) foreign |= is_foreign(t, device);
    if (foreign) {
        std::vector<Tensor> near(in.begin(), in.end());
        for (Tensor& t : near)
            if (is_foreign(t, device)) t = Tensor(read_number(def.name, t));
        record(op, near, attrs, out);
        return;
    }
    if (def.tile_op >= 0) {
        recorder.use_device(device);
        DType dtype = in[def.dtype_operand].dtype();
        bool same = true;
        for (const Tensor& t : in) same &= t.dtype() == dtype && !t.weak();
        if (!same || def.dtype_class != static_cast<uint8_t>(TileClass::ANY)) {
            // Operands before dtype_operand keep their own dtype (the condition of `where`).
            dtype = elementwise_dtype(def, in.subspan(def.dtype_operand), &weak);
        }
        Meta& m = out_meta[0];
        m.dtype =
            static_cast<TileResult>(def.result_rule) == TileResult::BOOL ? DType::kBool : dtype;
        m.device = device;
        m.shape = in[0].shape();
        for (size_t i = 1; i < n; ++i) {
            const Dims& s = in[i].shape();
            if (!(s == m.shape) && !s.empty()) m.shape = broadcast_shapes(def.name, m.shape, s);
        }
        // Conversions go on the tape too when a gradient flows through them.
        SmallVec<uint8_t, kInlineOperands> convert;
        convert.resize(n);
        bool any = false;
        for (size_t i = 0; i < n; ++i) {
            const DType want = static_cast<int>(i) < def.dtype_operand ? DType::kBool : dtype;
            convert[i] = !in[i].is_scalar() && in[i].dtype() != want;
            any |= convert[i] != 0;
        }
        if (any) {
            Tensor converted[kInlineOperands];
            SN_CHECK(n <= kInlineOperands);
            for (size_t i = 0; i < n; ++i) {
                const DType want = static_cast<int>(i) < def.dtype_operand ? DType::kBool : dtype;
                if (convert[i])
                    record_cast(in[i], want, &converted[i]);
                else
                    converted[i] = in[i];
            }
            record(op, std::span<const Tensor>(converted, n), attrs, out);
            return;
        }
        for (size_t i = 0; i < n; ++i) {
            ids[i] = recorder.bind(in[i], static_cast<int>(i) < def.dtype_operand
                                              ? DType::kBool
                                              : compute_dtype(dtype));
        }
    } else {
        const Meta* metas[64];
        SmallVec<const Meta*, 1> many;
        const Meta** meta_list = metas;
        if (n > 64) {
            many.resize(n);
            meta_list = many.data();
        }
        for (size_t i = 0; i < n; ++i) meta_list[i] = &in[i].value()->meta;
        for (size_t k = 0; k < out.size(); ++k) out_meta[k].device = device;
        InferCall call{def.name,
                       {meta_list, n},
                       AttrView(def.attr_types, attrs.words()),
                       {out_meta, out.size()}};
        def.infer(call);
        // What makes a tensor of numbers alone says by itself where.
        recorder.use_device(out.empty() ? device : out_meta[0].device);
        for (size_t i = 0; i < n; ++i) {
            ids[i] = recorder.bind(in[i], in[i].dtype());  // kernels convert, from the whole number
        }
    }

    Ref<Value> values[4];
    recorder.append(op, ids, attrs, {out_meta, out.size()}, weak, values);
    if (needs_grad) {
        Tensor made[4];
        for (size_t k = 0; k < out.size(); ++k) made[k] = Tensor(std::move(values[k]));
        put_on_tape(def, in, attrs, {out_meta, out.size()}, {made, out.size()}, false);
        for (size_t k = 0; k < out.size(); ++k) out[k] = std::move(made[k]);
    } else {
        for (size_t k = 0; k < out.size(); ++k) out[k] = Tensor(std::move(values[k]));
    }
    if (detecting_nan && recorder.kind() == Recorder::Kind::kWindow) look_for_nan(def, in, out);
}

namespace {

void record_cast(const Tensor& x, DType dtype, Tensor* out) {
    static const OpId id = find_op("cast");
    record(id, {&x, 1}, Attrs().dtype(dtype), {out, 1});
}

}  // namespace

}  // namespace sn
