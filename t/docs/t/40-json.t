# The JSON in the documents is JSON, and events in it are CloudEvents of ours.
use strict;
use warnings;

use JSON::PP ();
use Test::More;
use TaskEvents::Docs qw(blocks doc_files read_file relative);

my $json = JSON::PP->new;
my ($examples, $events) = (0, 0);

for my $file (doc_files()) {
    for my $block (blocks(read_file($file))) {
        my $name = relative($file) . ":$block->{line}";
        my $text = $block->{text};

        if ($block->{language} eq 'http') {
            next if $text !~ s/\A.*?\n\n(?=\S)//s;      # an answer with a body
        }
        elsif ($block->{language} ne 'json') {
            next;
        }
        ++$examples;
        my $value = eval { $json->decode($text) };
        ok(defined $value, "$name is JSON") or diag($@);
        next if ref $value ne 'HASH' || !$value->{specversion};

        ++$events;
        my $first = !exists $value->{causationid};
        my $id = $value->{id};
        like($id, $first ? qr/^.{14}4/ : qr/^.{14}5/, "$name: the id's version fits its cause");
        is($value->{correlationid} eq $id, $first, "$name: it is the first of its chain or not");
        is($value->{partitionkey}, $value->{data}{user_id}, "$name: the key is the user");
        is($value->{subject}, "tasks/$value->{data}{task_id}", "$name: the subject is the task");
        like($value->{sequence}, qr/^\d{20}$/, "$name: twenty digits");
        is($value->{traceparent}, $value->{traceid}, "$name: one trace");
    }
}
cmp_ok($examples, '>', 0, 'there are examples');
cmp_ok($events, '>', 0, 'there are events');

done_testing();
