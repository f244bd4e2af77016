// Recordings and what was written down of them: forms in, transcripts through, answers out.
#include "support/catch.hpp"

#include "herd-node/media/audio_form.hpp"
#include "herd-node/media/transcript.hpp"

#include <nlohmann/json.hpp>

using namespace herd::node;
using nlohmann::json;

namespace {

constexpr auto type = "multipart/form-data; boundary=\"b1\"";

std::string part(const std::string& disposition, const std::string& content)
{
    return "--b1\r\nContent-Disposition: form-data; " + disposition + "\r\nContent-Type: x/y\r\n\r\n" + content + "\r\n";
}

std::string fault_of(const std::string& body, const char* content_type = type)
{
    const auto form = parse_audio_form(body, content_type);
    INFO(body);
    REQUIRE_FALSE(form);
    return form.error();
}

} // namespace

TEST_CASE("a form gives its file and its fields, in any order")
{
    const std::string audio("RIFF\0\r\n--b\r\n", 13);
    const auto body = "preamble\r\n" + part("name=\"language\"", "en") + part("name=file; filename=\"a;\\\"b.MP3\"", audio) + part("name=\"model\"", "whisper") + "--b1--\r\n";
    const auto form = parse_audio_form(body, type);
    REQUIRE(form);
    CHECK(form->has_audio);
    CHECK(form->audio == audio);
    CHECK(form->extension == "mp3");
    CHECK(form->model == "whisper");
    CHECK(form->language == "en");
    const auto other = parse_audio_form(part("name=\"audio\"; filename=\"../../etc/x.w/v\"", "y") + "--b1--", type);
    REQUIRE(other);
    CHECK(other->audio == "y");
    CHECK(other->extension.empty());
    CHECK_FALSE(parse_audio_form(part("name=\"model\"", "x") + "--b1--", type)->has_audio);
}

TEST_CASE("a form that is none is refused")
{
    CHECK(fault_of("{}", "application/json").starts_with("the body must be multipart"));
    CHECK(fault_of("", "multipart/form-data").starts_with("the body must be multipart"));
    for (const std::string& body : {std::string(), std::string("--b1"), part("name=file", "x"), std::string("--b1\r\nno end of a head"), std::string("--b1x\r\n\r\n--b1--")}) {
        CHECK(fault_of(body) == "the form does not end as its boundary says");
    }
    CHECK(fault_of(part("name=model", std::string(2000, 'x')) + "--b1--") == "a field of the form is too long");
    CHECK(fault_of(part("name=language", "--output=x y") + "--b1--") == "language must be a word such as en");
}

TEST_CASE("what a tool prints is its text, or JSON that holds it")
{
    CHECK(parse_transcript(" hello\n")->text == "hello");
    CHECK(parse_transcript("{not json")->text == "{not json");
    CHECK_FALSE(parse_transcript(" \n"));
    const auto full = parse_transcript(R"({"text":"a b","language":"en","segments":[{"text":"a","start":0.5,"end":1,"x":1},5,{"text":"b","start":"?","end":-1,"language":"de"}]})");
    REQUIRE(full);
    CHECK(json::parse(transcript_answer(*full))
          == json::parse(R"({"text":"a b","language":"en","chunks":[{"text":"a","start":0.5,"end":1.0,"chunk_index":0,"language":"en"},
                             {"text":"b","start":0.0,"end":0.0,"chunk_index":1,"language":"de"}]})"));
    CHECK(openai_answer(*full, false) == R"({"text":"a b"})");
    CHECK(json::parse(openai_answer(*full, true))["segments"].size() == 2);
}

TEST_CASE("a speech service's jobs are followed to their end")
{
    CHECK(job_of(R"({"job_id":"a-1"})") == "a-1");
    CHECK(job_of(R"({"job_id":7})") == "7");
    for (const auto* bad : {"", "[]", "{}", R"({"job_id":"../x"})", R"({"job_id":"a b"})", R"({"job_id":null})"}) {
        CHECK(job_of(bad).empty());
    }
    CHECK_FALSE(job_state_of(R"({"status":"running"})").done);
    const auto good = job_state_of(R"({"status":"completed","result":{"text":"hi","chunks":[]}})");
    CHECK((good.done && good.result && good.result->text == "hi"));
    CHECK(job_state_of(R"({"status":"completed","result":"hi"})").result->text == "hi");
    CHECK(job_state_of(R"({"status":"completed"})").error == "its result has no text");
    CHECK(job_state_of(R"({"status":"failed","error":"no model"})").error == "the job failed: no model");
    CHECK(job_state_of("<html>").done);
}
