#include <cstring>

#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/wrap.h"
#include "base/derived.h"
#include "memory/recycling.h"

namespace sn::cpu {

namespace {

// ---- convolution --------------------------------------------------------------------------------

// Geometry in three dimensions from the shapes of input, weight and result and the attributes
// stride, pad_low, pad_high, dilation, groups.
ConvShape conv_shape(const TensorView& x, const TensorView& w, const TensorView& y,
                     const int64_t* attrs) {
    ConvShape s;
    const int rank = x.rank - 2, lead = 3 - rank;
    AttrWords words(attrs);
    int64_t count;
    const int64_t* stride = words.list(&count);
    const int64_t* pad = words.list(&count);
    words.list(&count);
    const int64_t* dilation = words.list(&count);
    s.dtype = x.dtype;
    s.batch = x.shape[0];
    s.groups = words.next();
    s.in_channels = x.shape[1];
    s.out_channels = y.shape[1];
    for (int d = 0; d < rank; ++d) {
        s.in[lead + d] = x.shape[d + 2];
        s.out[lead + d] = y.shape[d + 2];
        s.kernel[lead + d] = w.shape[d + 2];
        s.stride[lead + d] = stride[d];
        s.dilation[lead + d] = dilation[d];
        s.pad_lo[lead + d] = pad[d];
    }
    return s;
}

void weight_strides(const TensorView& w, int64_t out[5]) {
    const int rank = w.rank - 2, lead = 3 - rank;
    out[0] = w.strides[0];
    out[1] = w.strides[1];
    for (int d = 0; d < 3; ++d) out[2 + d] = d < lead ? 0 : w.strides[2 + d - lead];
}

// A weight for one call: as it is, or as an earlier call with the same value has packed it. Packing
// the weights of a ResNet-50 takes a third of the time of one image.
struct CallWeight {
    CallWeight(const ConvShape& s, ConvPass pass, const TensorView& w);
    ConvWeight weight;
    BufferRef kept;
};

CallWeight::CallWeight(const ConvShape& s, ConvPass pass, const TensorView& w) {
    weight.data = w.data;
    weight_strides(w, weight.strides);
    if (!w.buffer) return;
    const ConvKernels& kernels = *kernel_sets().conv;
    const size_t bytes = kernels.packed_weight_bytes(s, pass);
    if (bytes == 0 || would_exceed(bytes)) return;
    // What a packed form depends on (conv.h), where the weight lies, and whose form it is.
    DerivedKey key{static_cast<int64_t>(reinterpret_cast<intptr_t>(&kernels)),
                   static_cast<int64_t>(pass),
                   static_cast<const char*>(w.data) - static_cast<const char*>(w.buffer->data()),
                   static_cast<int64_t>(s.dtype),
                   s.in_channels,
                   s.out_channels,
                   s.groups};
    for (int64_t kernel : s.kernel) key.push_back(kernel);
    for (int64_t stride : weight.strides) key.push_back(stride);
    Allocator& allocator = w.buffer->allocator() ? *w.buffer->allocator() : cpu_allocator();
    kept = derived_form(*w.buffer, allocator, key, bytes,
                        [&](void* packed) { kernels.pack_weight(s, pass, weight, packed); });
    if (kept) weight.packed = kept->data();
}

void kernel_conv(const KernelCall& call) {
    const TensorView &x = call.in[0], &w = call.in[1], &y = call.out[0];
    if (y.numel() == 0) return;
    const ConvShape s = conv_shape(x, w, y, call.attrs);
    const CallWeight weight(s, ConvPass::kForward, w);
    kernel_sets().conv->forward(s, x.data, weight.weight, y.data,
                                static_cast<const Epilogue*>(call.epilogue));
}

void kernel_conv_data_grad(const KernelCall& call) {
    const TensorView &dy = call.in[0], &w = call.in[1], &dx = call.out[0];
    if (dx.numel() == 0) return;
    const ConvShape s = conv_shape(dx, w, dy, call.attrs);
    const CallWeight weight(s, ConvPass::kDataGrad, w);
    kernel_sets().conv->data_grad(s, dy.data, weight.weight, dx.data,
                                  static_cast<const Epilogue*>(call.epilogue));
}

void kernel_conv_weight_grad(const KernelCall& call) {
    const TensorView &x = call.in[0], &dy = call.in[1], &dw = call.out[0];
    if (dw.numel() == 0) return;
    if (dy.numel() == 0 || x.numel() == 0) {
        std::memset(dw.data, 0, static_cast<size_t>(dw.numel()) * dtype_size(dw.dtype));
        return;
    }
    int64_t strides[5];
    weight_strides(dw, strides);
    kernel_sets().conv->weight_grad(conv_shape(x, dw, dy, call.attrs), x.data, dy.data, dw.data,
                                    strides);
}

// ---- pooling ------------------------------------------------------------------------------------

// Attributes: kernel, stride, pad, dilation, ceil; averages add include_pad and divisor.
PoolShape pool_shape(const TensorView& x, const TensorView& y, const int64_t* attrs, bool average) {
    PoolShape s;
    const int rank = x.rank - 2, lead = 3 - rank;
    AttrWords words(attrs);
    int64_t count;
    const int64_t* kernel = words.list(&count);
    const int64_t* stride = words.list(&count);
    const int64_t* pad = words.list(&count);
    const int64_t* dilation = words.list(&count);
    words.next();  // ceil: already in the shape of the result
    s.dtype = y.dtype;
    s.batch = x.shape[0];
    s.channels = x.shape[1];
    if (average) {
        s.count_include_pad = words.next() != 0;
        s.divisor_override = words.next();
    }
    for (int d = 0; d < rank; ++d) {
        s.in[lead + d] = x.shape[d + 2];
        s.out[lead + d] = y.shape[d + 2];
        s.kernel[lead + d] = kernel[d];
        s.stride[lead + d] = stride[d];
        s.dilation[lead + d] = dilation[d];
        s.pad_lo[lead + d] = s.pad_hi[lead + d] = pad[d];
    }
    return s;
}

void kernel_max_pool(const KernelCall& call) {
    const TensorView &x = call.in[0], &y = call.out[0];
    if (y.numel() == 0) return;
    kernel_sets().pool->max_forward(pool_shape(x, y, call.attrs, false), x.data, y.data,
                                    call.n_out > 1 ? call.out[1].as<int64_t>() : nullptr);
}
void kernel_max_pool_grad(const KernelCall& call) {
    const TensorView &dy = call.in[0], &dx = call.out[0];
    if (dx.numel() == 0) return;
    kernel_sets().pool->max_backward(pool_shape(dx, dy, call.attrs, false), dy.data,
                                     call.in[1].as<int64_t>(), dx.data);
}
void kernel_avg_pool(const KernelCall& call) {
    const TensorView &x = call.in[0], &y = call.out[0];
    if (y.numel() == 0) return;
    kernel_sets().pool->average_forward(pool_shape(x, y, call.attrs, true), x.data, y.data);
}
void kernel_avg_pool_grad(const KernelCall& call) {
    const TensorView &dy = call.in[0], &dx = call.out[0];
    if (dx.numel() == 0) return;
    kernel_sets().pool->average_backward(pool_shape(dx, dy, call.attrs, true), dy.data, dx.data);
}

}  // namespace

void register_conv_wrappers(KernelTable& table) {
    table.add("conv", kernel_conv);
    table.add("conv_data_grad", kernel_conv_data_grad);
    table.add("conv_weight_grad", kernel_conv_weight_grad);
}

void register_pool_wrappers(KernelTable& table) {
    table.add("max_pool", kernel_max_pool);
    table.add("max_pool_grad", kernel_max_pool_grad);
    table.add("avg_pool", kernel_avg_pool);
    table.add("avg_pool_grad", kernel_avg_pool_grad);
}

}  // namespace sn::cpu
