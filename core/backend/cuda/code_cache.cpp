#include "backend/cuda/code_cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <vector>

#include "backend/cuda/code.h"
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/system.h"

namespace sn::cuda {

namespace {

namespace fs = std::filesystem;

constexpr size_t kDigits = 64;

std::string hash_of(std::string_view data) {
    Sha256 hash;
    hash.update(data.data(), data.size());
    return hash.hex();
}

fs::path to_path(const std::string& utf8) {
    return fs::path(std::u8string(utf8.begin(), utf8.end()));
}

std::string path_of(const std::string& key) {
    const std::string folder = cache_folder();
    return folder.empty() ? folder : folder + "/" + key + ".code";
}

// "512M": bytes, with K, M or G for powers of 1024.
uint64_t limit() {
    constexpr uint64_t kDefault = uint64_t{512} << 20;
    const char* text = std::getenv("SENNIT_CACHE_LIMIT");
    if (!text || !*text) return kDefault;
    char* end = nullptr;
    const double number = std::strtod(text, &end);
    const char* units = "KMG";
    const char* unit = *end ? std::strchr(units, *end) : nullptr;
    if (end == text || number < 0 || (*end && (!unit || end[1]))) {
        fail(ErrorKind::kValue, "cuda",
             "SENNIT_CACHE_LIMIT is '%s'; it must be a number of bytes, such as 512M or 2G", text);
    }
    const int shift = unit ? 10 * static_cast<int>(unit - units + 1) : 0;
    return static_cast<uint64_t>(number * static_cast<double>(uint64_t{1} << shift));
}

void shrink(const std::string& folder, uint64_t most) {
    struct File {
        fs::path path;
        fs::file_time_type used;
        uint64_t bytes;
    };
    std::vector<File> all;
    uint64_t total = 0;
    std::error_code bad;  // others may remove files meanwhile
    for (fs::directory_iterator at(to_path(folder), bad), end; !bad && at != end;
         at.increment(bad)) {
        if (at->path().extension() != ".code") continue;
        std::error_code a, b;
        File file{at->path(), at->last_write_time(a), at->file_size(b)};
        if (a || b) continue;
        total += file.bytes;
        all.push_back(std::move(file));
    }
    if (total <= most) return;
    std::sort(all.begin(), all.end(), [](const File& a, const File& b) { return a.used < b.used; });
    for (const File& file : all) {
        // Some room at once: not a file for each that is written.
        if (total <= most - most / 8) break;
        fs::remove(file.path, bad);
        total -= file.bytes;
    }
}

}  // namespace

Cached read_cache(const std::string& key, std::string* image) {
    const std::string path = path_of(key);
    uint64_t size;
    std::string why;
    if (path.empty() || !system::regular_file_size(path, &size, &why)) return Cached::kAbsent;
    try {
        const auto file = FileBytes::open(path, false, "cuda");
        const std::string_view all(reinterpret_cast<const char*>(file->bytes().data()),
                                   file->bytes().size());
        if (all.size() > kDigits && hash_of(all.substr(kDigits)) == all.substr(0, kDigits)) {
            *image = all.substr(kDigits);
            std::error_code bad;  // of a folder that may only be read
            fs::last_write_time(to_path(path), fs::file_time_type::clock::now(), bad);
            return Cached::kRead;
        }
    } catch (const Error&) {
        return Cached::kAbsent;  // it may not be read, or is gone
    }
    return Cached::kDamaged;
}

void write_cache(const std::string& key, const std::string& image) {
    const std::string folder = cache_folder(), path = path_of(key);
    const uint64_t most = limit();
    if (path.empty() || image.size() + kDigits > most || !system::make_folder(folder)) return;
    const std::string all = hash_of(image) + image;
    try {
        write_file(path, std::as_bytes(std::span(all.data(), all.size())), "cuda");
    } catch (const Error&) {
        return;
    }
    shrink(folder, most);
}

}  // namespace sn::cuda
