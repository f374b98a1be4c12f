// Pooling.
#include "backend/cuda/kernels/window_args.h"
#include "backend/cuda/wrap.h"

namespace sn::cuda {

namespace {

KernelSource::Axis floats() {
    KernelSource::Axis axis = dtype_axis("SN_T", kFloats);
    for (KernelSource::Choice& choice : axis) choice.definitions.push_back("SN_FLOAT=1");
    return axis;
}
KernelSource::Axis all() {
    KernelSource::Axis axis = floats();
    for (const KernelSource::Choice& choice : dtype_axis("SN_T", kInts)) axis.push_back(choice);
    return axis;
}
const KernelSource kMax("pool.cu", "max_pool", [] { return Axes{all()}; });
const KernelSource kAverage("pool.cu", "avg_pool", [] { return Axes{floats()}; });
const KernelSource kMaxGrad("pool.cu", "max_pool_grad", [] { return Axes{floats()}; });
const KernelSource kAverageGrad("pool.cu", "avg_pool_grad", [] { return Axes{floats()}; });

void spread_strides(const TensorView& v, int64_t (&strides)[5]) {
    const int lead = 5 - v.rank;
    strides[0] = v.strides[0];
    strides[1] = v.strides[1];
    for (int d = 2; d < v.rank; ++d) strides[lead + d] = v.strides[d];
}

// x: the larger image. Attributes: kernel, stride, pad, dilation, ceil; averages add include_pad
// and divisor.
PoolArgs pool_of(const TensorView& x, const TensorView& y, const int64_t* attrs, bool average) {
    PoolArgs p{};
    AttrWords words(attrs);
    const auto kernel = words.list(), stride = words.list(), pad = words.list(),
               dilation = words.list();
    words.next();  // ceil: already in the shape of the result
    if (average) {
        p.include_pad = words.next() != 0;
        p.divisor = words.next();
    }
    const int lead = 5 - x.rank;
    for (int d = 0; d < 3; ++d) {
        const bool own = d >= lead;
        const size_t at = static_cast<size_t>(d - lead);
        p.in[d] = own ? x.shape[2 + at] : 1;
        p.out[d] = own ? y.shape[2 + at] : 1;
        p.kernel[d] = own ? kernel[at] : 1;
        p.stride[d] = own ? stride[at] : 1;
        p.pad[d] = own ? pad[at] : 0;
        p.dilation[d] = own ? dilation[at] : 1;
    }
    p.channels = x.shape[1];
    spread_strides(x, p.x_strides);
    spread_strides(y, p.y_strides);
    return p;
}

void issue(const KernelCall& c, const KernelSource& source, PoolArgs& args,
           const TensorView& from) {
    args.x = from.data;
    args.y = c.out[0].data;
    args.count = c.out[0].numel();
    if (args.count == 0) return;
    launch(source.get(c.device, {static_cast<int>(from.dtype)}), grid_of(args.count), kThreads,
           args);
}

void max_pool(const KernelCall& c) {
    PoolArgs args = pool_of(c.in[0], c.out[0], c.attrs, false);
    if (c.n_out > 1 && c.out[1].data) {
        args.winners = c.out[1].as<int64_t>();
        spread_strides(c.out[1], args.index_strides);
    }
    issue(c, kMax, args, c.in[0]);
}
void max_pool_grad(const KernelCall& c) {
    PoolArgs args = pool_of(c.out[0], c.in[0], c.attrs, false);
    args.index = c.in[1].as<int64_t>();
    spread_strides(c.in[1], args.index_strides);
    issue(c, kMaxGrad, args, c.in[0]);
}
void avg_pool(const KernelCall& c) {
    PoolArgs args = pool_of(c.in[0], c.out[0], c.attrs, true);
    issue(c, kAverage, args, c.in[0]);
}
void avg_pool_grad(const KernelCall& c) {
    PoolArgs args = pool_of(c.out[0], c.in[0], c.attrs, true);
    issue(c, kAverageGrad, args, c.in[0]);
}

}  // namespace

void register_pool_wrappers(KernelTable& table) {
    table.add("max_pool", max_pool);
    table.add("max_pool_grad", max_pool_grad);
    table.add("avg_pool", avg_pool);
    table.add("avg_pool_grad", avg_pool_grad);
}

}  // namespace sn::cuda
