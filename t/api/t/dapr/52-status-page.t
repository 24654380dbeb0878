# The status page: who gets HTML and who JSON, what guards it, that nothing of a
# message becomes markup, and that only forms of ours do anything.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8 decode_utf8);
use Test::More;
use TaskEvents::Test;

my $at = '/operator/status';
my $browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8';
my $form = 'application/x-www-form-urlencoded';
sub page { my ($path, %option) = @_; my $a = request(GET => "$at$path", vhost => 'status', %option, headers => [Accept => $browser, @{ $option{headers} // [] }]); $a->{html} = decode_utf8($a->{body}); return $a }
sub post { my ($path, $fields, %option) = @_; return request(POST => "$at$path", vhost => 'status', type => $form, %option,
    body => join '&', map { escape($_) . '=' . escape(encode_utf8($fields->{$_})) } sort keys %$fields) }
sub is_page { my ($a, $status, $name) = @_; is $a->{status}, $status, $name; like $a->{headers}{'content-type'} // '', qr{^text/html; charset=utf-8$}i, '… as HTML' }
sub nonce { return $_[0]{body} =~ /name="nonce" value="([0-9a-f-]+)"/ ? $1 : '' }

my $n = 0;
sub letter
{
    my (%with) = @_;
    my %row = (stage => 'malformed', source => '/test', event_id => user('page' . ++$n), topic => 'tasks', user_id => undef, body => '{"specversion":"0.3"}',
        reason => 'specversion is not 1.0', %with);
    return row(q{INSERT INTO taskevents.dead_letters (stage, source, event_id, topic, user_id, body, body_size, reason, attempts, first_failed_at, last_failed_at)
        SELECT ?, ?, ?, ?, ?, b, octet_length(b), ?, 1, now(), now() FROM (SELECT decode(?, 'hex') AS b) x RETURNING id},
        @row{qw(stage source event_id topic user_id reason)}, unpack 'H*', utf8::is_utf8($row{body}) ? encode_utf8($row{body}) : $row{body})->{id};
}
sub state_of { return row('SELECT * FROM taskevents.dead_letters WHERE id = ?', $_[0]) }

# ---- HTML or JSON

for my $case ([undef, 0], ['*/*', 0], ['application/json', 0], [$browser, 1], ['text/html', 1], ['TEXT/HTML; q=0.5', 1], ['text/html;q=0', 0], ['text/htmlx', 0],
              ['application/json, text/html', 0], ['application/json;q=0.5, text/html', 1], ['text/plain', 0]) {
    my ($accept, $html) = @$case;
    my $a = request(GET => $at, vhost => 'status', headers => [defined $accept ? (Accept => $accept) : ()]);
    is $a->{status}, 200, 'Accept: ' . ($accept // 'none');
    like $a->{headers}{'content-type'}, $html ? qr{^text/html} : qr{^application/json}, '… is answered in ' . ($html ? 'HTML' : 'JSON');
    like $a->{headers}{vary}, qr/\bAccept\b/i, '… and says what it hangs on';
}
like page('?format=json')->{headers}{'content-type'}, qr{^application/json}, 'format=json says so whatever the browser accepts';
is_page(request(GET => "$at$_?format=html", vhost => 'status'), 200, "format=html of '$_'") for '', '/', '/dead-letters';
is_page(page('?format=xml'), 400, 'another format');
is_problem(request(GET => "$at?format=xml", vhost => 'status'), 400, 'another format', '?format');

# ---- what guards it

my $one = letter();
for my $path ('', '/dead-letters', "/dead-letters/$one", '/dead-letters/0', '/nowhere') {
    for my $accept ($browser, 'application/json') {
        my $headers = request(GET => "$at$path", vhost => 'status', headers => [Accept => $accept])->{headers};
        is $headers->{'x-frame-options'}, 'DENY', "$path ($accept): not in a frame";
        is $headers->{'x-content-type-options'}, 'nosniff', '… its type is not guessed';
        is $headers->{'cache-control'}, 'no-store', '… not kept';
        is $headers->{'referrer-policy'}, 'same-origin', '… nobody else learns of it';
        is $headers->{'cross-origin-resource-policy'}, 'same-origin', '… nor loads it';
        my %policy = map { /^\s*(\S+)\s+(.*)$/ } split /;/, $headers->{'content-security-policy'};
        is $policy{'default-src'}, q{'none'}, '… loads nothing';
        is $policy{'frame-ancestors'}, q{'none'}, '… not in a frame, said twice';
        unlike $headers->{'content-security-policy'}, qr/unsafe|\*|https?:/, '… without a hole';
    }
}
{
    my $html = page('')->{html};
    unlike $html, qr{\b(?:src|href)="(?!/operator/status|data:,)}i, 'the page needs nothing from elsewhere';
    unlike $html, qr{ style=|<[^>]+\son[a-z]+=|javascript:}i, 'and has neither inline style nor inline handlers';
    like $html, qr{<noscript><meta http-equiv="refresh" content="\d+"></noscript>}, 'without a script it looks again by itself';
    is scalar(() = $html =~ /<svg /g), 6, 'six charts';
    like $html, qr/\Q$_\E/, "it tells '$_'" for 'Transport', 'breaker', 'Outbox', 'Reminders due', 'Pool', 'Processes of this httpd', 'schema', 'libcurl', 'jansson', 'postgresql', 'apr';
}
is_page(request(GET => '/status', vhost => 'status_norequire', headers => [Accept => $browser]), 403, 'no Require, no page');
is request(POST => '/status/dead-letters/1/redrive', vhost => 'status_norequire', type => $form, body => 'nonce=1')->{status}, 403, 'and no form';

# ---- nothing of a message is markup

{
    my $evil = q{<script>alert(1)</script>"'><img src=x onerror=alert(2)>};
    my $id = letter(reason => "$evil \x{1}\x{1b}[31m\x{202e}", user_id => "u$evil", event_id => "e$evil" . user('x'), source => "s$evil", topic => "t$evil",
        body => encode_utf8(qq({"type":"x","title":"<script>alert(3)</script>\\u0000 \x{202e}abc\x{2028}","</pre>":"'\\"&amp;"})) . "\xff");
    my $json = letter(body => encode_utf8(qq({"type":"task.created","title":"</pre><script>alert(4)</script>\x{202e}\\u0007'","n":1.5})));
    for my $path ('', '/dead-letters', "/dead-letters/$id", "/dead-letters/$json", '/dead-letters?reason=' . escape(encode_utf8(state_of($id)->{reason})),
                  '/dead-letters?user=' . escape("u$evil"), '/dead-letters?state=' . escape($evil), '/dead-letters?' . escape($evil) . '=1', '/dead-letters/' . escape($evil =~ tr{/}{}dr)) {
        my $a = page($path);
        like $a->{headers}{'content-type'}, qr{^text/html}, "page $path";
        my $html = $a->{html};
        is scalar(() = $html =~ /<script\b/gi), 1, '… has one script, which is ours';
        unlike $html, qr/<img|<\/pre>(?!<\/section>)/i, '… no element of somebody else';
        unlike $html, qr/[\x00-\x08\x0b-\x1f\x7f\x{202e}\x{2028}]/, '… and no character that acts';
    }
    my $html = page("/dead-letters/$json")->{html};
    like $html, qr{&lt;/pre&gt;&lt;script&gt;alert\(4\)&lt;/script&gt;\\u202e\\u0007&#39;}, 'what it was can be read';
    like $html, qr{^  &quot;n&quot;: 1\.5$}m, 'a line for each member';
    like page("/dead-letters/$id")->{html}, qr{not JSON.*\\xff}s, 'bytes that are no text by their numbers';
    like page('/dead-letters?type=task.created')->{html}, qr{/dead-letters/$json">}, 'found by its type';
    unlike page('/dead-letters?type=task.created')->{html}, qr{/dead-letters/$id">}, 'and only those';
    is_deeply [map { $_->{id} } @{ request(GET => "$at/dead-letters?user=" . escape("u$evil"), vhost => 'status')->{json} }], [$id], 'by its user';
    is_deeply [map { $_->{id} } @{ request(GET => "$at/dead-letters?event=" . escape(state_of($json)->{event_id}), vhost => 'status')->{json} }], [$json], 'by its event';
    is request(GET => "$at/dead-letters/$json", vhost => 'status')->{json}{type}, 'task.created', 'its type is told in JSON too';
    db()->do('DELETE FROM taskevents.dead_letters WHERE id IN (?, ?)', undef, $id, $json);
}
like page('/dead-letters?state=&stage=&user=&type=&event=&reason=')->{html}, qr{/dead-letters/$one">}, 'fields that are left empty ask for nothing';
is_page(page('/dead-letters/999999999'), 404, 'no such letter');

# ---- forms

my $nonce = nonce(page("/dead-letters/$one"));
like $nonce, qr/^[0-9a-f]{12}-[0-9a-f]{64}$/, 'a form has its proof';
my $failed = post("/dead-letters/$one/redrive", { nonce => $nonce });
is $failed->{status}, 303, 'a redrive by the form';
is $failed->{headers}{location}, "$at/dead-letters/$one?did=it", 'leads to the letter';
is state_of($one)->{attempts}, 2, 'it was tried';
like page("/dead-letters/$one?did=it")->{html}, qr{It failed again.*specversion is not 1\.0}s, 'and that it failed is said';
unlike page("/dead-letters/$one")->{html}, qr/It failed again/, 'once';

for my $case (['none', {}], ['an empty one', { nonce => '' }], ['a word', { nonce => 'x' }], ['another', { nonce => $nonce =~ s/.$/$& eq '0' ? '1' : '0'/er }],
              ['one of another time', { nonce => $nonce =~ s/^(.{11})(.)/$1 . ($2 eq '0' ? '1' : '0')/er }]) {
    my ($name, $fields) = @$case;
    my $before = () = log_lines(qr/TE0303/);
    is_page(post("/dead-letters/$one/discard", $fields), 403, "proof: $name");
    is scalar(() = log_lines(qr/TE0303.*dead_letter_discard by 127\.0\.0\.1 was refused/)), $before + 1, '… which is logged';
}
for my $headers (['Sec-Fetch-Site' => 'cross-site'], ['Sec-Fetch-Site' => 'same-site'], [Origin => 'https://evil.example'], [Origin => 'null']) {
    is_page(post("/dead-letters/$one/discard", { nonce => $nonce }, headers => $headers), 403, "a form that comes with @$headers");
}
is_page(post("/dead-letters/$one/discard", { nonce => $nonce, all => 1 }), 422, 'a field that is none');
is_page(post("/dead-letters/$one/discard", { nonce => $nonce, all => "\x{1}" x 70000 }), 413, 'a form that is too large');
is_page(request(POST => "$at/dead-letters/$one/discard", vhost => 'status', type => $form, body => "nonce=$nonce&nonce=$nonce"), 400, 'a field twice');
is_page(request(POST => "$at/dead-letters/$one/discard", vhost => 'status', type => $form, body => "nonce=%zz"), 400, 'a broken form');
is_problem(request(POST => "$at/dead-letters/$one/discard", vhost => 'status', type => 'multipart/form-data; boundary=x', body => "nonce=$nonce"), 415, 'a form of another kind');
is_problem(request(POST => "$at/dead-letters/$one/discard", vhost => 'status', type => 'text/plain', body => "nonce=$nonce"), 415, 'plain text');
is state_of($one)->{state}, 'open', 'none of these did anything';

# who: alice by her password, who is somebody else than the machine's own
{
    my @alice = (vhost => 'status_basic', headers => [Accept => $browser, Authorization => basic('alice')]);
    my $hers = nonce(request(GET => "/status/dead-letters/$one", @alice));
    like $hers, qr/^[0-9a-f]{12}-/, 'a form of hers';
    isnt $hers =~ s/^.*-//r, $nonce =~ s/^.*-//r, 'is another';
    is_page(post("/dead-letters/$one/discard", { nonce => $hers }), 403, 'and is nobody else\'s');
    is request(POST => "/status/dead-letters/$one/discard", @alice, type => $form, body => "nonce=$nonce")->{status}, 403, 'nor is somebody else\'s hers';
    is scalar(() = log_lines(qr/TE0303.*dead_letter_discard by alice from 127\.0\.0\.1 was refused/)), 1, '… and the log says who';
    my $done = request(POST => "/status/dead-letters/$one/discard", @alice, type => $form, body => "nonce=$hers");
    is $done->{status}, 303, 'with her own she discards it';
    is state_of($one)->{closed_by}, 'alice', 'which is remembered';
    is scalar(() = log_lines(qr/TE0424.*dead letter $one was discarded by alice from 127\.0\.0\.1$/)), 1, 'and logged, with where she was';
    my $page = request(GET => $done->{headers}{location}, @alice);
    like $page->{body}, qr{The letter is discarded.*by alice}s, 'and said';
    unlike $page->{body}, qr{<form}, 'there is nothing more to do with it';
    is request(POST => "/status/dead-letters/$one/discard", @alice, type => $form, body => "nonce=$hers")->{status}, 303, 'once more changes nothing';
    is_page(request(POST => "/status/dead-letters/$one/redrive", @alice, type => $form, body => "nonce=$hers"), 409, 'the other way is too late');
}

# an event of ours, redriven by the form, has its effect
{
    my $v = user('form');
    my $t = create($v, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');
    request(POST => task_path($v, $t->{id}, 'complete'), as => $v);
    my $event = (events($v))[-1];
    my $id = letter(stage => 'deadletter', source => $event->{source}, event_id => $event->{id}, user_id => $v, reason => 'gave up', body => encode_json_text($event));
    my $done = post("/dead-letters/$id/redrive", { nonce => nonce(page("/dead-letters/$id")) }, headers => ['Sec-Fetch-Site' => 'same-origin', Origin => 'http://taskevents.example']);
    is $done->{status}, 303, 'an event of ours';
    is_deeply [@{ state_of($id) }{qw(state note)}], ['redriven', 'handled'], 'is redriven';
    is scalar(rows('SELECT 1 AS x FROM taskevents.tasks WHERE series_id = ?', $t->{series_id})), 2, 'and has its effect';
    like page("/dead-letters/$id?did=it")->{html}, qr{The letter is redriven.*handled, by 127\.0\.0\.1}s, 'which is said';
}

# many at once
{
    my $reason = 'many of ' . user('many');
    my @ids = map { letter(reason => $reason) } 1 .. 3;
    my $list = page('/dead-letters?state=open&reason=' . escape($reason));
    like $list->{html}, qr{action="$at/dead-letters/redrive".*name="reason" value="\Q$reason\E"}s, 'all of a reason have a form';
    unlike page('/dead-letters?state=open')->{html}, qr{<form method="post"}, 'all there are do not';
    unlike page('/dead-letters?reason=' . escape($reason))->{html}, qr{<form method="post"}, 'nor those of any state';
    my $redriven = post('/dead-letters/redrive', { nonce => nonce($list), reason => $reason });
    is_page($redriven, 200, 'all redriven');
    like $redriven->{body}, qr{<h1>0 redriven</h1><p>3 failed again}, '… which failed again';
    my $fault = (state_of($ids[0]))->{reason};
    db()->do('UPDATE taskevents.dead_letters SET reason = ? WHERE id = ANY (?)', undef, $reason, \@ids);
    is_page(post('/dead-letters/discard', { nonce => nonce($list) }), 422, 'all of nothing in particular');
    is_page(post('/dead-letters/discard', { nonce => 'x', reason => $reason }), 403, 'without proof');
    my $first = post('/dead-letters/discard', { nonce => nonce($list), reason => $reason, after => $ids[0] });
    like $first->{body}, qr{<h1>2 discarded</h1>}, 'those behind the first are discarded';
    is_deeply [map { state_of($_)->{state} } @ids], [qw(open discarded discarded)], 'and no other';
    is_deeply request(POST => "$at/dead-letters/discard", vhost => 'status', json => { reason => $reason, stage => 'malformed' })->{json},
        { discarded => 1, more => JSON::PP::false, after => $ids[0] + 0 }, 'in JSON too';
    is state_of($ids[0])->{state}, 'discarded', 'the first';
    is scalar(() = log_lines(qr/TE0424.*dead letter $_ was discarded by 127\.0\.0\.1$/)), 1, 'each is logged' for @ids;
    is_problem(request(POST => "$at/dead-letters/discard", vhost => 'status', json => {}), 422, 'all of nothing', '#');
}

# more of them than are done at once, and a message of which only the head was kept
{
    my $reason = 'more of ' . user('more');
    db()->do(q{INSERT INTO taskevents.dead_letters (stage, source, event_id, body, body_size, reason, attempts, first_failed_at, last_failed_at)
        SELECT 'malformed', '/test', ? || n, 'x', 1, ?, 1, now(), now() FROM generate_series(1, 501) AS n}, undef, user('more'), $reason);
    my $list = page('/dead-letters?state=open&reason=' . escape($reason));
    my ($done, $left, $after) = (0, 501, undef);
    for (1 .. 20) {
        my $a = post('/dead-letters/discard', { nonce => nonce($list), reason => $reason, defined $after ? (after => $after) : () });
        is_page($a, 200, 'some of 501 are discarded');
        $done += $1 if $a->{body} =~ m{<h1>(\d+) discarded</h1>};
        ($left) = map { $_->{n} } rows(q{SELECT count(*) AS n FROM taskevents.dead_letters WHERE reason = ? AND state = 'open'}, $reason);
        last if !$left;
        like $a->{body}, qr{There are more.*name="after" value="(\d+)".*Go on}s, '… and there are more, to go on with';
        ($after) = $a->{body} =~ /name="after" value="(\d+)"/;
    }
    is "$done $left", '501 0', 'each once, in the end';
    my $id = letter(body => 'the head of it');
    db()->do('UPDATE taskevents.dead_letters SET body_size = 5000000 WHERE id = ?', undef, $id);
    like page("/dead-letters/$id")->{html}, qr{not JSON, 5\D?000\D?000 bytes, the first 14 kept}, 'a message of which the head was kept says so';
    db()->do('UPDATE taskevents.dead_letters SET body_size = 14 WHERE id = ?', undef, $id);
}
is_page(post("/dead-letters/$one/redrive", { nonce => 'x' }), 403, 'a redrive without proof');
is_problem(request(POST => "$at/dead-letters/999999999999/$_", vhost => 'status', json => {}), 404, "$_ of none") for qw(redrive discard);

# whatever the section is called
for my $path ('/slashed', '/patterns') {
    my $a = request(GET => "$path/dead-letters?format=html", vhost => 'status_sections');
    is $a->{status}, 200, "below $path";
    like $a->{body}, qr{action="\Q$path\E/dead-letters|href="\Q$path\E/dead-letters}, '… links lead there';
}

# by each name that the server goes by, and no other
for my $case (['operator.example', 200], ['one.operators.example', 200], ['operators.example', 421], ['127.0.0.1', 200]) {
    my ($host, $status) = @$case;
    is request(GET => $at, vhost => 'status', raw => "GET $at HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n")->{status}, $status, "asked for as $host";
}

is_page(page('/dead-letters?reason=' . escape('none of ' . user('none'))), 200, 'a filter that finds nothing');
like page('/dead-letters?reason=' . escape('none of ' . user('none')))->{html}, qr{There are none that this filter finds}, '… says so';
is_problem(request(GET => "$at/dead-letters/$one?nothing=1", vhost => 'status'), 400, 'an unknown parameter', '?nothing');

# events that are tried again: whose, how often, when and why
{
    my $u = user('retries');
    db()->do(q{INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id, event, attempts, retry_at, last_error)
        VALUES (?, 'test-held', 1, gen_random_uuid(), '{"time":"2026-01-02T03:04:05Z"}', 1001, now() + interval '1 hour', 'a <reason>')}, undef, $u);
    my ($retry) = grep { $_->{user_id} eq $u } @{ request(GET => $at, vhost => 'status')->{json}{retries} };
    is $retry->{attempts}, 1001, 'its tries are told';
    like $retry->{next_at} // $retry->{retry_at} // '', time_re(), '… and when the next one is';
    my $page = page('');
    like $page->{html}, qr{Events tried again.*\Q$u\E.*1001.*in \d+ min.*a &lt;reason&gt;}s, '… on the page, too';
    like $page->{html}, qr{tried again}, '… whose verdict counts them';
    db()->do('DELETE FROM taskevents.outbox WHERE user_id = ?', undef, $u);
}

# ---- samples, and forms over a graceful restart

{
    my $id = letter();
    my $mine = nonce(page("/dead-letters/$id"));
    ok wait_for(sub { @{ request(GET => $at, vhost => 'status')->{json}{last_hour}{outbox_events} } >= 1 }, 60), 'samples are taken';
    my %before = map { $_ => 1 } server_children();
    my $known = @{ request(GET => $at, vhost => 'status')->{json}{last_hour}{outbox_events} };
    kill USR1 => server_pid();
    ok wait_for(sub { my @now = server_children(); @now >= 2 && !grep { $before{$_} } @now }, 60), 'other children serve';
    is post("/dead-letters/$id/discard", { nonce => $mine })->{status}, 303, 'a form of before the restart still holds';
    cmp_ok scalar(@{ request(GET => $at, vhost => 'status')->{json}{last_hour}{outbox_events} }), '>=', $known, 'and the samples are still there';
    # a child that was made a moment ago has yet to begin
    ok wait_for(sub { join(' ', sort map { $_->{pid} } @{ request(GET => $at, vhost => 'status')->{json}{publishers} }) eq join ' ', sort(server_children()) }),
        'the publishers are those of now';
}

expect_log(qr/\[taskevents:error\].*TE0302/, 'the handler without Require') if log_lines(qr/TE0302/);
expect_log(qr/\[auth_basic:error\]/, 'mod_auth_basic') if log_lines(qr/\[auth_basic:error\]/);
expect_log(qr/\[(?:authz_core|core):error\]/, 'httpd about a refusal') if log_lines(qr/\[(?:authz_core|core):error\]/);
finish();
