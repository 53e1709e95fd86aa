/* SPDX-License-Identifier: Apache-2.0
 *
 * The only C++ of the project: toml++ is header-only C++ and the best-kept TOML reader Debian has.
 * It is built without exceptions; what can fail is its parser, which answers with a result.
 */
#define TOML_EXCEPTIONS 0
#include "server/toml.h"

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

namespace
{

class Walk
{
  public:
    Walk(TomlVisit *visit, void *context) : visit_(visit), context_(context)
    {
    }

    /* toml++ bounds the nesting of what it parses, so this recursion is bounded too. */
    bool table(const toml::table &table, const std::string &prefix)
    {
        for (auto &&[key, node] : table) {
            std::string path = prefix + std::string(key.str());
            if (const toml::table *below = node.as_table()) {
                if (!this->table(*below, path + "."))
                    return false;
            } else if (!value(node, path, key.source().begin)) {
                return false;
            }
        }
        return true;
    }

  private:
    bool value(const toml::node &node, const std::string &path, const toml::source_position &at)
    {
        TomlEntry entry = {};
        entry.path = path.c_str();
        entry.kind = TOML_OTHER;
        entry.line = static_cast<uint32_t>(at.line);
        entry.column = static_cast<uint32_t>(at.column);
        std::vector<const char *> items;
        if (const auto *text = node.as_string()) {
            entry.kind = TOML_TEXT;
            entry.text = text->get().c_str();
            entry.text_bytes = text->get().size();
        } else if (const auto *number = node.as_integer()) {
            entry.kind = TOML_INT;
            entry.number = number->get();
        } else if (const auto *boolean = node.as_boolean()) {
            entry.kind = TOML_BOOL;
            entry.number = boolean->get() ? 1 : 0;
        } else if (const auto *array = node.as_array()) {
            entry.kind = TOML_LIST;
            for (const toml::node &item : *array) {
                if (const auto *element = item.as_string())
                    items.push_back(element->get().c_str());
                else
                    entry.kind = TOML_OTHER;
            }
            entry.items = items.data();
            entry.item_count = items.size();
        }
        return visit_(context_, &entry);
    }

    TomlVisit *visit_;
    void *context_;
};

} // namespace

bool toml_read(const char *text, size_t size, TomlVisit *visit, void *context, TomlError *out_error)
{
    toml::parse_result result = toml::parse(std::string_view(text, size));
    if (!result) {
        const toml::parse_error &error = result.error();
        std::string_view what = error.description();
        std::snprintf(out_error->text, sizeof out_error->text, "%.*s",
                      static_cast<int>(what.size()), what.data());
        out_error->line = static_cast<uint32_t>(error.source().begin.line);
        out_error->column = static_cast<uint32_t>(error.source().begin.column);
        return false;
    }
    out_error->line = 0;
    return Walk(visit, context).table(result.table(), "");
}
