// sennit-run: runs a saved model on .npy files, and says what it takes.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/system.h"
#include "npy.h"
#include "sennit/sennit.hpp"

namespace {

using namespace sn;
using sennit::check;

constexpr const char* kUsage =
    R"(usage: sennit-run MODEL [options]

Runs a model that Graph.save wrote, on NumPy's .npy files.

  --inspect              print what the model takes and gives, and stop
  --input [NAME=]FILE    an argument; without a name, the next one
  --output [NAME=]FILE   where a result goes; without a name, the next one; none is needed
  --repeat N             run N times, and print the times (default 1)
  --threads N            threads to work with; results do not depend on it
  --seed N               of the random numbers (default 0)
  --save FILE            write the model with the parameters that the runs (of a step of training)
                         have made
  --copy                 read the file into memory instead of mapping it
  --no-checksum          do not verify the file's checksum
  --version              print versions, and stop
)";

[[noreturn]] void wrong(const std::string& what) {
    fail(ErrorKind::kValue, "sennit-run", "%s; see sennit-run --help", what.c_str());
}

struct Options {
    std::string model, save;
    std::vector<std::pair<std::string, std::string>> inputs, outputs;  // name or "", path
    int64_t repeat = 1, threads = 0;
    uint64_t seed = 0;
    uint32_t flags = 0;
    bool inspect = false;
};

template <class Int>
Int number(const std::string& option, const std::string& text, Int least) {
    Int n = 0;
    const auto done = std::from_chars(text.data(), text.data() + text.size(), n);
    if (done.ec != std::errc() || done.ptr != text.data() + text.size() || n < least)
        wrong(option + " is '" + text + "'; a whole number from " + std::to_string(least) +
              " on is required");
    return n;
}

std::optional<Options> parse(const std::vector<std::string>& words) {
    Options o;
    for (size_t i = 1; i < words.size(); ++i) {
        const std::string& word = words[i];
        const auto value = [&]() -> std::string {
            if (i + 1 >= words.size()) wrong(word + " needs a value");
            return words[++i];
        };
        const auto file = [&] {
            const std::string text = value();
            const size_t at = text.find('=');
            return at == std::string::npos ? std::pair(std::string(), text)
                                           : std::pair(text.substr(0, at), text.substr(at + 1));
        };
        if (word == "--help" || word == "-h") {
            std::fputs(kUsage, stdout);
            return std::nullopt;
        }
        if (word == "--version") {
            std::printf("sennit-run %s (interface %d, numerics %d, %s)\n", sn_version(),
                        sn_abi_version(), sn_numerics_version(), sn_isa());
            return std::nullopt;
        }
        if (word == "--inspect")
            o.inspect = true;
        else if (word == "--input")
            o.inputs.push_back(file());
        else if (word == "--output")
            o.outputs.push_back(file());
        else if (word == "--save")
            o.save = value();
        else if (word == "--repeat")
            o.repeat = number<int64_t>(word, value(), 1);
        else if (word == "--threads")
            o.threads = number<int64_t>(word, value(), 1);
        else if (word == "--seed")
            o.seed = number<uint64_t>(word, value(), 0);
        else if (word == "--copy")
            o.flags |= SN_LOAD_COPY;
        else if (word == "--no-checksum")
            o.flags |= SN_LOAD_SKIP_CHECKSUM;
        else if (word.size() > 1 && word[0] == '-')
            wrong("there is no option '" + word + "'");
        else if (o.model.empty())
            o.model = word;
        else
            wrong("there are two models, '" + o.model + "' and '" + word + "'");
    }
    if (o.model.empty()) wrong("no model is given");
    return o;
}

std::string type_text(const sennit::Value& v) {
    std::string text = std::string(sn_dtype_name(v.dtype)) + "[";
    for (size_t d = 0; d < v.shape.size(); ++d) {
        if (d) text += ", ";
        text += v.shape[d] >= 0 ? std::to_string(v.shape[d]) : v.dim_names[d];
    }
    return text + "]";
}

void inspect(const sennit::Model& model) {
    std::printf("model %s\n", model.name().c_str());
    for (const sennit::Value& v : model.inputs())
        std::printf("input %s: %s\n", v.name.c_str(), type_text(v).c_str());
    for (const sennit::Value& v : model.outputs())
        std::printf("output %s: %s\n", v.name.c_str(), type_text(v).c_str());
    double bytes = 0;
    for (const sennit::Value& v : model.parameters()) {
        std::printf("parameter %s: %s\n", v.name.c_str(), type_text(v).c_str());
        double size = static_cast<double>(sn_dtype_size(v.dtype));
        for (const int64_t n : v.shape) size *= static_cast<double>(n);
        bytes += size;
    }
    std::printf("%.3f MB of parameters\n", bytes / 1e6);
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
}

// Which file belongs to which argument or result; "" where there is none.
template <class Find>
std::vector<std::string> assign(const std::vector<std::pair<std::string, std::string>>& files,
                                const std::vector<sennit::Value>& values, const char* what,
                                Find find) {
    std::vector<std::string> paths(values.size());
    for (const auto& [name, path] : files) {
        size_t at = 0;
        if (!name.empty())
            at = find(name);
        else
            while (at < paths.size() && !paths[at].empty()) ++at;
        if (at >= paths.size())
            wrong("there are more files than " + std::string(what) + "s; the model has " +
                  std::to_string(paths.size()));
        if (!paths[at].empty())
            wrong(std::string(what) + " '" + values[at].name + "' is given twice");
        paths[at] = path;
    }
    return paths;
}

void run(const Options& o) {
    if (o.threads) {
        if (o.threads > INT32_MAX) wrong("--threads is too large");
        sennit::set_threads(static_cast<int>(o.threads));
    }
    const auto start = std::chrono::steady_clock::now();
    const sennit::Model model(o.model, o.flags);
    const double load_ms = milliseconds_since(start);
    if (o.inspect) return inspect(model);

    const std::vector<sennit::Value> takes = model.inputs(), gives = model.outputs();
    const std::vector<std::string> from =
        assign(o.inputs, takes, "input", [&](const std::string& n) { return model.input(n); });
    const std::vector<std::string> to =
        assign(o.outputs, gives, "output", [&](const std::string& n) { return model.output(n); });
    std::vector<NpyArray> arrays;
    std::vector<sennit::Array> inputs;
    for (size_t i = 0; i < takes.size(); ++i) {
        if (from[i].empty())
            wrong("no file is given for the input '" + takes[i].name + "', which is " +
                  type_text(takes[i]));
        arrays.push_back(read_npy(from[i], static_cast<DType>(takes[i].dtype)));
    }
    for (NpyArray& a : arrays)
        inputs.push_back(sennit::Array::view(a.data.data(),
                                             sennit::Shape(a.shape.begin(), a.shape.end()),
                                             static_cast<sn_dtype>(a.dtype)));

    sennit::Session session(model, o.seed);
    std::vector<double> times;
    std::vector<sennit::Array> results;
    for (int64_t i = 0; i < o.repeat; ++i) {
        const auto before = std::chrono::steady_clock::now();
        results = session.run_views(inputs);
        times.push_back(milliseconds_since(before));
    }
    for (size_t k = 0; k < gives.size(); ++k) {
        if (to[k].empty()) continue;
        const sennit::Shape shape = results[k].shape();
        write_npy(to[k], static_cast<DType>(results[k].dtype()), shape, results[k].raw());
    }

    if (!o.save.empty()) session.save(o.save);

    std::printf("loaded in %.3f ms, first result after %.3f ms\n", load_ms, times[0]);
    std::sort(times.begin(), times.end());
    std::printf("%lld runs on %d threads, %s: median %.4f ms, least %.4f ms\n",
                static_cast<long long>(o.repeat), sennit::threads(), sn_isa(),
                times[times.size() / 2], times[0]);
    sn_memory_stats memory{};
    memory.struct_size = sizeof memory;
    check(sn_memory(&memory));
    std::printf("memory: %.3f MB of tensors at most", static_cast<double>(memory.peak) / 1e6);
    if (const int64_t peak = system::peak_resident_memory(); peak >= 0)
        std::printf(", %.1f MB of the process", static_cast<double>(peak) / 1e6);
    std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (const std::optional<Options> options = parse(system::arguments(argc, argv)))
            run(*options);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
