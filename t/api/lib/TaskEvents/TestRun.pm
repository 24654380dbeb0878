package TaskEvents::TestRun;

# Apache::TestRun, told about the one thing it cannot inherit: our module.

use strict;
use warnings;
use parent 'Apache::TestRun';
use MIME::Base64 'encode_base64';
use Digest::SHA 'sha1';
use TaskEvents::Secrets;

sub configure
{
    my ($self) = @_;
    my $config = $self->{test_config};
    if ($self->{conf_opts}{save}) {
        write_secrets("$config->{vars}{serverroot}/conf");
        $config->preamble(LoadModule => qq{taskevents_module "$ENV{TASKEVENTS_TEST_MODULE}"});
        $config->{modules}{'mod_taskevents.c'} = 1;     # for need_module('taskevents')
    }
    return $self->SUPER::configure;
}

# The files that a configuration names instead of a secret.
sub write_secrets
{
    my ($dir) = @_;
    write_file("$dir/app-token", APP_TOKEN . "\n");
    write_file("$dir/htpasswd", map {
        "$_:{SHA}" . encode_base64(sha1(PASSWORD), '') . "\n" } BASIC_USERS);
}

sub write_file
{
    my ($name, @text) = @_;
    open my $file, '>', $name or die "$name: $!";
    print {$file} @text;
    close $file or die "$name: $!";
}

1;
