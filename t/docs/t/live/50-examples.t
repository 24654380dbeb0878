# The examples of the documents, against the service that TASKEVENTS_URL names: in
# the order of the document, in one shell, so that variables stay. Those of an
# operator need TASKEVENTS_STATUS_URL, and a dead letter, which is put into the
# database that TASKEVENTS_DSN names.
use strict;
use warnings;

use Encode qw(encode);
use File::Temp ();
use JSON::PP ();
use Test::More;
use TaskEvents::Docs qw(blocks read_file src);

my $mark = "=== end of a block $$ ===";
my $json = JSON::PP->new->allow_nonref;

# The shape of a value: names and types, not what changes from run to run.
sub shape {
    my ($v) = @_;

    return {map { $_ => shape($v->{$_}) } keys %$v} if ref $v eq 'HASH';
    return @$v ? [shape($v->[0])] : [] if ref $v eq 'ARRAY';
    return 'any';
}

# The last answer: a client may be told 100 Continue first.
sub answer {
    my ($text) = @_;

    $text =~ tr/\r//d;
    $text =~ s{\A.*(?=^HTTP/1\.1 [2-5])}{}ms;
    my ($head, $body) = split /\n\n/, $text, 2;
    my ($status, @lines) = split /\n/, $head // '';
    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } @lines;
    return ($status // '', \%headers, ($body // '') =~ s/\s+\z//r);
}

# Runs a document: what its examples show, and what they got.
sub run_examples {
    my ($file) = @_;
    my @blocks = blocks(read_file(src() . "/$file"));
    my $script = File::Temp->new(SUFFIX => '.sh');
    my @shown;

    # a busy machine needs longer than who reads this
    print $script "sleep() { command sleep \$((5 * \$1)); }\n";
    for my $i (0 .. $#blocks) {
        my $block = $blocks[$i];
        next if $block->{language} ne 'sh';
        my $answer = $i < $#blocks && $blocks[$i + 1]{language} eq 'http' ? $blocks[$i + 1] : undef;
        push @shown, {%$block, answer => $answer};
        print $script encode('UTF-8', "$block->{text}\nprintf '\\n%s\\n' '$mark'\n");
    }
    close $script;
    my $out = qx(bash $script 2>&1);
    my @got = split /\n\Q$mark\E\n/, $out;
    is(scalar @got, scalar @shown, "$file: every example ran") or diag($out);
    for my $i (grep { $shown[$_]{answer} && defined $got[$_] } 0 .. $#shown) {
        compare("$file:$shown[$i]{line}", $shown[$i]{answer}{text}, $got[$i]);
    }
}

sub compare {
    my ($name, $shown, $got) = @_;
    my ($status, $headers, $body) = answer($shown);
    my ($status_now, $headers_now, $body_now) = answer($got);

    is($status_now, $status, "$name: $status") or diag($got);
    for my $header (sort keys %$headers) {
        ok(defined $headers_now->{$header}, "$name: has $header") or diag($got);
    }
    for my $header (grep { $headers->{$_} } qw(content-type allow retry-after)) {
        is($headers_now->{$header}, $headers->{$header}, "$name: its $header");
    }
    if ($body eq '') {
        is($body_now, '', "$name: no body");
        return;
    }
    my $value = $json->decode(encode('UTF-8', $body));
    my $value_now = eval { $json->decode($body_now) };
    is_deeply(shape($value_now), shape($value), "$name: the body has these members")
        or diag($got);
    is($value_now->{detail}, $value->{detail}, "$name: the same words")
        if ref $value eq 'HASH' && $value->{detail};
}

run_examples('docs/api.md');
if ($ENV{TASKEVENTS_STATUS_URL} && $ENV{TASKEVENTS_DSN}) {
    my $body = '{"specversion":"0.3","id":"7","source":"/somebody","type":"task.created"}';
    my $letter = "INSERT INTO taskevents.dead_letters (stage, source, event_id, topic, body, body_size, reason,
        attempts, record_partition, record_offset, first_failed_at, last_failed_at) VALUES ('malformed', '/somebody',
        '7', 'tasks', '$body', length('$body'), 'specversion is not 1.0', 1, 2, 1041, now(), now())
        ON CONFLICT (stage, source, event_id) DO UPDATE SET state = 'open', closed_at = NULL, closed_by = NULL, note = NULL";

    is(system('psql', '-qX', '-d', $ENV{TASKEVENTS_DSN}, '-c', $letter), 0, 'a dead letter to work with');
    run_examples('docs/status.md');
    run_examples('docs/log-codes.md');
}
done_testing();
